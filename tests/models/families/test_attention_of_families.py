"""What image tokens look at, heard while a transformer works; and whole pictures whose views have their own words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.embeddings import apply_rotary_emb
from on_families import LONG, NEGATIVE, apart, model_of, stage_on
from tiny_parts import Case, clip_tokenizer
from torch import Tensor

from fusionkit import Fusion
from fusionkit.loop.canvas import gather
from fusionkit.loop.stage import Patches, Stage
from fusionkit.loop.views import covering
from fusionkit.models.attention import capture
from fusionkit.models.prompts.tokens import tokens_in
from fusionkit_accdiffusion import DilatedSampling, PatchContentPrompts, ProgressiveUpscaling
from fusionkit_accdiffusion.words import words_of
from fusionkit_multidiffusion import MultiDiffusion

PROMPT = "a red boat on a lake, two cats"


def group(stage: Stage, *prompts: str) -> Patches:
    views = covering(stage.canvas, stage.window)
    texts = [prompts[number % len(prompts)] for number in range(len(views))]
    return Patches(views, latents=gather(stage.noise("init"), views), prompts=texts)


def heard(stage: Stage, patches: Patches, **how: Any) -> tuple[Tensor, Tensor]:
    model: Any = stage.model
    with torch.inference_mode(), capture(model, len(patches.views), patches.size, [model.info.patch], **how) as seen:
        answer = model.predict(stage, stage.steps[0], patches)
    return answer, seen.mean(model.info.patch)


def test_listening_changes_nothing_and_layers_and_halves_are_told_apart(family: Case) -> None:
    model = model_of(family, (64, 64))
    if not model.family.readable:
        pytest.skip("its image begins at another place in each row, and is not read")
    if not model.info.attention_layers:
        pytest.skip("tests/models/test_attention.py listens to UNets")
    stage = stage_on(model, size=(160, 64), batch_size=2)
    patches = group(stage, PROMPT, LONG, "snow")
    plain = model.predict(stage, stage.steps[0], patches)

    answer, maps = heard(stage, patches)

    assert answer.equal(plain)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.denoiser.modules())
    assert torch.allclose(maps.sum(1), torch.ones(()), atol=1e-5)
    assert apart(maps[0], maps[1]) > 1e-3
    count = model.info.attention_layers
    alone = [heard(stage, patches, layers=[number])[1] for number in range(count)]
    assert apart(torch.stack(alone).mean(0), maps) <= 1e-5
    assert apart(alone[0], alone[-1]) > 1e-3
    # One by one, and with another negative prompt: what the other half looks at counts for nothing.
    other = stage_on(model, size=(160, 64), batch_size=1, negative_prompt="a lake")
    assert apart(heard(other, patches)[1], maps) <= 1e-5
    if model.family.text_first is not None:
        total = heard(stage, patches, over="all")[1].sum(1)
        assert float(total.min()) > 0
        assert float(total.max()) < 1
    else:
        assert heard(stage, patches, over="all")[1].equal(maps)


class Sd3ByHand:
    """SD3's attention, whose probabilities are made of the layer's own parts."""

    def __init__(self, inner: Any, kept: list[Tensor]) -> None:
        self.inner, self.kept = inner, kept

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **more: Any
    ) -> Any:
        if encoder_hidden_states is not None:
            parts = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.add_k_proj(encoder_hidden_states)
            query, image, text = (each.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for each in parts)
            if attn.norm_q is not None:
                query, image, text = attn.norm_q(query), attn.norm_k(image), attn.norm_added_k(text)
            self.kept.append(scores(query, torch.cat([text, image], 2)))
        return self.inner(attn, hidden_states, encoder_hidden_states, **more)


class FluxByHand:
    """The same of Flux' double and single blocks, with the places of its tokens."""

    _attention_backend = _parallel_config = None

    def __init__(self, inner: Any, kept: list[Tensor]) -> None:
        self.inner, self.kept = inner, kept

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Any = None,
    ) -> Any:
        query, key = (part(hidden_states).unflatten(-1, (-1, attn.head_dim)) for part in (attn.to_q, attn.to_k))
        query, key = attn.norm_q(query), attn.norm_k(key)
        if encoder_hidden_states is not None:
            text = attn.norm_added_k(attn.add_k_proj(encoder_hidden_states).unflatten(-1, (-1, attn.head_dim)))
            query, key = torch.cat([torch.zeros_like(text), query], 1), torch.cat([text, key], 1)
        query, key = (apply_rotary_emb(each, image_rotary_emb, sequence_dim=1).transpose(1, 2) for each in (query, key))
        self.kept.append(scores(query[:, :, -64:], key))
        return self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb)


def scores(query: Tensor, key: Tensor) -> Tensor:
    return query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5


BY_HAND: dict[str, Any] = {"sd3": Sd3ByHand, "flux": FluxByHand}


def test_maps_are_those_of_processors_taken_apart(case: Case) -> None:
    if case.kind not in BY_HAND:
        pytest.skip("its processors are not written out here; the lengths and the sums of its maps are tested above")
    model = model_of(case)
    stage = stage_on(model, guidance_scale=1.0)
    patches = group(stage, PROMPT)
    maps, together = heard(stage, patches)[1], heard(stage, patches, over="all")[1]
    kept: list[Tensor] = []
    own = dict(model.denoiser.attn_processors)
    try:
        model.denoiser.set_attn_processor({name: BY_HAND[case.kind](each, kept) for name, each in own.items()})
        model.predict(stage, stage.steps[0], patches)
    finally:
        model.denoiser.set_attn_processor(own)

    text = maps.shape[1]
    alone = torch.stack([F.softmax(each[..., :text], -1).mean(1) for each in kept]).mean(0)
    joint = torch.stack([F.softmax(each, -1)[..., :text].mean(1) for each in kept]).mean(0)

    assert len(kept) == model.info.attention_layers
    for found, expected in ((maps, alone), (together, joint)):
        expected = expected.transpose(1, 2).reshape(found.shape)
        assert float(expected.max()) > 1e-3
        assert apart(found, expected) <= 1e-6


def test_words_are_where_their_tokens_are(case: Case) -> None:
    model = model_of(case)
    weighted = "a (red:1.3) boat on a lake, two cats"
    words = words_of(weighted, model.text_tokens(weighted))

    assert [word.text for word in words] == PROMPT.split()
    tokenizer, template, cut = model.family.tokenized(model.pipe)
    ids = tokenizer(template.replace("{}", PROMPT)).input_ids
    if tokenizer.padding_side == "left":
        ids = [0] * (model.embed(PROMPT)[0].shape[1] + cut - len(ids)) + ids
    for word in words:
        said = tokenizer.decode([ids[place + cut] for place in word.positions])
        assert said.strip().strip(",").replace(" ", "") == word.bare
    assert all(place < model.embed(PROMPT)[0].shape[1] for word in words for place in word.positions)


def test_a_prompt_beyond_what_is_encoded_has_words_without_tokens(case: Case) -> None:
    model, prompt = model_of(case), " ".join(["boat"] * 150)
    tokens = tokens_in("{}", prompt, clip_tokenizer(), 0, 77)
    assert [token.place for token in tokens] == list(range(1, 77))
    assert max(token.place for token in model.text_tokens(prompt)) < model.embed(prompt)[0].shape[1]


@pytest.mark.parametrize("attention", ["text", "all"])
def test_views_of_an_upscaled_picture_have_words_of_their_own(family: Case, attention: Any) -> None:
    if not model_of(family).family.readable:
        pytest.skip("its image begins at another place in each row, and is not read")
    if attention == "all" and family.kind != "flux":
        pytest.skip("one family shows a whole picture of what is heard over all tokens")
    levels = None if model_of(family).info.attention_layers else [1]
    prompts = PatchContentPrompts(threshold=0.55, attention=attention, layers=[0], levels=levels)
    plugins = [ProgressiveUpscaling(), MultiDiffusion(stride=64), prompts, DilatedSampling()]
    fusion = Fusion.from_pipe(
        family.make(), plugins=plugins, window=(128, 128), steps=2, guidance_scale=3.0, negative_prompt=NEGATIVE
    )
    result = fusion(PROMPT, size=(192, 192), seed=1, progress=False, maps=True)
    assert result.latents.isfinite().all()
    assert {"word-03-boat", "prompts"} <= set(result.maps)


def test_layers_and_levels_that_are_not_there_are_told(family: Case) -> None:
    model = model_of(family)
    count, patch = model.info.attention_layers, model.info.patch

    def problem(**options: Any) -> str:
        (line,) = PatchContentPrompts(**options).check(stage_on(model))
        return line

    name = model.info.name
    if not model.family.readable:
        assert problem() == f"patch-content-prompts: {name} has no cross-attention at levels [4]; it has none"
        return
    if not count:
        assert problem() == (
            f"patch-content-prompts: {name} has no cross-attention at levels [4]; it has it at levels [1, 2]"
        )
        return
    assert problem(layers=[0, count]) == (
        f"patch-content-prompts: {name} has {count} layers that look at the text, 0 to {count - 1}; there is no layer "
        f"{count}"
    )
    assert problem(levels=[4]) == (
        f"patch-content-prompts: {name} has no cross-attention at levels [4]; it has it at levels [{patch}]"
    )
    assert PatchContentPrompts().check(stage_on(model)) == []
