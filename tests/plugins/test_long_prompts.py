"""Weights and long prompts with the plugins that read or replace prompts, and with other text encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fusionkit import Plugin, Recipe, StagePlan, hookimpl
from fusionkit.models.load import wrap_pipeline
from fusionkit.testing import tiny_pipeline, tiny_plan, tiny_run
from fusionkit.testing.tiny import KINDS, Kind, execute_tiny
from fusionkit_accdiffusion import PatchContentPrompts
from fusionkit_magicfusion import SaliencyNoiseBlending

# In the tiny models a token is a letter, and a chunk has room for 14.
LONG = "a (hill:1.4), the sea, a boat BREAK birds"


class TwoStages(Plugin):
    """One window, and then the recipe's size."""

    @hookimpl
    def plan_stages(self, recipe: Recipe) -> list[StagePlan]:
        return [StagePlan((64, 64)), StagePlan(recipe.size)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "prompt",
    [
        LONG,
        "\u7ea2\u732b\u5728\u5c71\u4e0a",
        "\u05d7\u05ea\u05d5\u05dc \u05d0\u05d3\u05d5\u05dd",
        "\U0001f431 \U0001f308",
    ],
)
def test_no_view_of_an_enlarged_picture_is_told_nothing(kind: Kind, prompt: str) -> None:
    plugin = PatchContentPrompts(levels=[1], opening=0)
    plan = tiny_plan([TwoStages(), plugin], kind, prompt=prompt, negative_prompt="grey " * 9, steps=2)
    latents = execute_tiny(plan, kind)
    assert latents.isfinite().all()
    memory = plugin.memory(plan.stages[-1])
    assert all(word.positions for word in memory.words if word.bare)
    assert len(memory.prompts) > 1
    assert all(memory.prompts)
    if prompt == LONG:
        assert any("(hill" in each and ":1.4)" in each for each in memory.prompts)


def test_models_that_blend_may_have_prompts_of_different_lengths() -> None:
    def blended(**prompts: str) -> torch.Tensor:
        roles = {name: {"prompt": prompt} for name, prompt in prompts.items()}
        return tiny_run([SaliencyNoiseBlending(models=roles)], models=("one", "two"), steps=2)

    first = blended(one="a hill", two=LONG)
    assert first.isfinite().all()
    assert (first - blended(one="a hill", two="a hill, the s")).abs().max() > 1e-3
    assert (first - blended(one="a hill", two=LONG.replace("1.4", "0.1"))).abs().max() > 1e-5


def test_a_text_encoder_that_is_no_clip(tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "hill", "sea", ","]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast(str(tmp_path / "vocab.txt"), model_max_length=8)
    torch.manual_seed(0)
    encoder = BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=8,
        )
    ).eval()
    parts: dict[str, Any] = {**tiny_pipeline("sd").components, "tokenizer": tokenizer, "text_encoder": encoder}
    model = wrap_pipeline(StableDiffusionPipeline(**parts, requires_safety_checker=False))
    with torch.inference_mode():
        ids = tokenizer("a hill", padding="max_length", max_length=8, return_tensors="pt").input_ids
        plain = encoder(ids)[0]
    assert model.embed("a hill")[0].equal(plain)
    weighted = model.embed("a (hill:1.5)")[0]
    ratio = (weighted / plain).median(dim=-1).values[0]
    assert torch.allclose(ratio / ratio[0], torch.tensor([1, 1, 1.5, 1, 1, 1, 1, 1.0]), atol=1e-3)
    long = model.embed("a hill, a sea, a hill")[0]
    assert long.shape == (1, 16, 16)
    with torch.inference_mode():
        second = tokenizer("a hill", padding="max_length", max_length=8, return_tensors="pt").input_ids
        assert torch.allclose(long[:, 8:], encoder(second)[0], atol=1e-6)
