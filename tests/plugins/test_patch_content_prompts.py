"""Patch-content-aware prompts: masks, shares, options, whole runs on tiny models, and pictures of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from rounding import rounding
from torch import Tensor

from fusionkit import Patches, Plugin, Prompt, RecipeError, StagePlan, View, hookimpl, windows
from fusionkit.models.inspect import inspect_model
from fusionkit.models.prompts.tokens import text_tokens
from fusionkit.runs.plan import RunPlan
from fusionkit.runs.run import ask_maps
from fusionkit.testing import tiny_model, tiny_pipeline, tiny_plan, tiny_run
from fusionkit.testing.tiny import KINDS, Kind, execute_tiny
from fusionkit_accdiffusion import PatchContentPrompts
from fusionkit_accdiffusion.attention_maps import CanvasMaps, on_canvas
from fusionkit_accdiffusion.influence import influence
from fusionkit_accdiffusion.masks import above_mean, opened, shares
from fusionkit_accdiffusion.patch_content_prompts import shared_maps, word_maps
from fusionkit_accdiffusion.words import words_of

CHECKPOINTS = Path(__file__).parents[1] / "golden" / "checkpoints"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(CHECKPOINTS / "tiny-sdxl", subfolder="tokenizer", local_files_only=True)


class Stages(Plugin):
    """A first stage of one window's size, or of the sizes given, and then the recipe's size."""

    sizes: tuple[tuple[int, int], ...] = ((64, 64),)
    picture: Path | None = None

    @hookimpl
    def plan_stages(self, recipe: Any) -> list[StagePlan]:
        plans = [StagePlan(size) for size in (*self.sizes, recipe.size)]
        return [StagePlan(recipe.size, picture=self.picture, picture_size=(96, 64))] if self.picture else plans


def plan_of(plugin: PatchContentPrompts, kind: Kind = "sd", stages: Stages | None = None, **fields: Any) -> RunPlan:
    return tiny_plan([stages or Stages(), plugin], kind, **{"prompt": "a hill, the sea", **fields})


# Masks and shares.


def test_a_mask_is_where_a_map_is_above_its_own_mean() -> None:
    maps = np.array([[[0, 0], [0, 4]], [[1, 1], [1, 1]], [[5, 7], [7, 5]]], np.float32)
    assert above_mean(maps).tolist() == [[[0, 0], [0, 1]], [[0, 0], [0, 0]], [[0, 1], [1, 0]]]


def test_opening_removes_specks_from_16_rows_on() -> None:
    mask = np.zeros((1, 16, 16), np.uint8)
    mask[0, 2:7, 3:9] = 1
    block = mask.copy()
    mask[0, 12, 12] = 1
    assert np.array_equal(opened(mask), block)
    assert np.array_equal(opened(mask, 0), mask)
    assert not opened(mask, 3).any()
    assert np.array_equal(opened(mask[:, :15]), mask[:, :15])


def test_shares_of_views_of_any_place_and_size() -> None:
    generator = np.random.default_rng(0)
    masks = generator.integers(0, 2, (3, 4, 5), dtype=np.uint8)
    canvas = (13, 17)
    views = [View(0, 0, 13, 17), View(4, 6, 5, 5), View(-3, -2, 6, 6), View(10, 14, 6, 6), View(1, 0, 4, 4, 3)]
    big = masks[:, [y * 4 // 13 for y in range(13)]][:, :, [x * 5 // 17 for x in range(17)]]
    expected = [[float(mask[view.parts(canvas)[0][0]].mean()) for mask in big] for view in views]
    assert np.abs(shares(masks, views, canvas) - np.array(expected)).max() < 1e-12


def test_one_window_is_its_own_map_and_several_are_their_weighted_mean() -> None:
    maps = torch.rand(1, 3, 2, 2)
    assert on_canvas(maps, Patches((View(0, 0, 8, 8),)), (8, 8), 4).equal(maps[0])
    maps = torch.rand(2, 3, 2, 2)
    views = (View(0, 0, 8, 8), View(0, 4, 8, 8))
    both = on_canvas(maps, Patches(views, weights=torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)), (8, 12), 4)
    assert both.shape == (3, 2, 3)
    assert torch.allclose(both[..., 0], maps[0, ..., 0])
    assert torch.allclose(both[..., 2], maps[1, ..., 1])
    assert torch.allclose(both[..., 1], (maps[0, ..., 1] + 3 * maps[1, ..., 0]) / 4)


def test_levels_are_averaged_at_the_finest() -> None:
    fine, coarse = torch.rand(3, 4, 4), torch.rand(3, 2, 2).mean((1, 2), keepdim=True).expand(3, 2, 2)
    maps = CanvasMaps({2: coarse * 5, 1: fine * 5}, steps=5)
    assert torch.allclose(maps.mean(), (fine + coarse[:, :1, :1]) / 2)


def test_the_map_of_a_word_is_the_mean_of_its_tokens(tokenizer: Any) -> None:
    maps = torch.rand(77, 2, 2)
    words = words_of("mars during sunset.", text_tokens("mars during sunset.", tokenizer))
    expected = torch.stack([maps[1], maps[2:5].mean(0), maps[5]])
    assert np.abs(word_maps(maps, words) - expected.numpy()).max() < 1e-6


def test_a_word_has_its_share_in_each_token_that_it_changes(tokenizer: Any) -> None:
    """An encoder from left to right, whose tokens are sums of the words so far."""
    words = words_of("mars sunset sea", text_tokens("mars sunset sea", tokenizer))
    adds = {"mars": 1.0, "sunset": 2.0, "sea": 5.0}

    def embed(text: str) -> Tensor:
        shown = text.replace("<|endoftext|>", " blank ").split()
        places = [adds.get(word, 0.0) for word in shown]
        return torch.tensor([0.0, *np.cumsum(places), sum(places)])[None, :, None] * torch.tensor([0.6, 0.8])

    found = influence(words, embed, "<|endoftext|>")
    assert torch.allclose(found[:, 0], torch.zeros(3))
    assert torch.allclose(found[:, 1], torch.tensor([1.0, 0, 0]))
    assert torch.allclose(found[:, 2], torch.tensor([1.0, 2, 0]) / 3)
    assert torch.allclose(found[:, 3:], torch.tensor([[1.0], [2], [5]]).expand(3, 2) / 8)
    maps = torch.rand(5, 2, 2)
    assert np.allclose(shared_maps(maps, found)[1], (maps[2] * 2 / 3 + (maps[3] + maps[4]) / 4).numpy(), atol=1e-6)


# Options.


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), True, "much"])
def test_a_threshold_outside_0_to_1_is_refused(threshold: Any) -> None:
    with pytest.raises(ValidationError, match="threshold"):
        PatchContentPrompts(threshold=threshold)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"levels": [3]}, r"levels are powers of 2, such as \[4\] or \[1, 2\], not \[3\]"),
        ({"levels": []}, "levels are powers of 2"),
        ({"keep": ["Photo,"], "drop": ["photo"]}, "'photo' can't be both kept and dropped"),
        ({"opening": -1}, "opening"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError, match=line):
        PatchContentPrompts(**options)


@pytest.mark.parametrize(
    ("options", "fields", "line"),
    [
        ({"levels": [1]}, {"prompt": " "}, "the prompt is empty, so there are no words to choose from"),
        ({"levels": [4]}, {}, r"has no cross-attention at levels \[4\]; it has it at levels \[1\]"),
    ],
)
def test_what_makes_no_sense_with_a_model_is_said_before_it_loads(
    options: dict[str, Any], fields: dict[str, Any], line: str
) -> None:
    with pytest.raises(RecipeError, match=f"patch-content-prompts: .*{line}"):
        plan_of(PatchContentPrompts(**options), **fields)


def test_a_level_coarser_than_the_window() -> None:
    from fusionkit import Recipe
    from fusionkit.runs.run import prepare

    info = inspect_model(str(CHECKPOINTS / "tiny-sdxl"))
    recipe = Recipe(prompt="a hill", size=(64, 16), window=(64, 16), plugins=[PatchContentPrompts()])
    with pytest.raises(RecipeError, match="level 4 is coarser than the window, whose shorter side is 2 latent pixels"):
        prepare(recipe, info)


def test_all_tokens_are_read_of_unets_alone() -> None:
    from dataclasses import replace

    from fusionkit import Recipe
    from fusionkit.runs.run import prepare

    info = inspect_model(str(CHECKPOINTS / "tiny-sdxl"))
    recipe = Recipe(prompt="a hill", size=(64, 64), plugins=[PatchContentPrompts(levels=(2,), tokens="all")])
    prepare(recipe, info)
    with pytest.raises(RecipeError, match=r"tokens: all is for models with a UNet; .* is a transformer"):
        prepare(recipe, replace(info, block_out_channels=()))


# Runs.


@pytest.mark.parametrize("kind", KINDS)
def test_views_have_the_words_whose_masks_cover_them(kind: Kind) -> None:
    plugin = PatchContentPrompts(levels=(1,), threshold=0.45)
    plan = plan_of(plugin, kind)
    latents = execute_tiny(plan, kind)
    first, last = plan.stages
    memory = plugin.memory(last)
    assert memory is plugin.memory(first)
    assert memory.attention.steps == 3
    assert [word.text for word in memory.words] == ["a", "hill,", "the", "sea"]
    assert memory.masks is not None
    assert memory.masks.shape == (4, 8, 8)
    assert memory.views == windows(last.canvas, last.window, (6, 6))
    expected = []
    for covered in shares(memory.masks, memory.views, last.canvas):
        passing = [text for text, share in zip(("a hill,", "the sea"), covered[[1, 3]], strict=True) if share >= 0.45]
        best = "a hill," if covered[1] > covered[3] else "the sea"
        expected.append(" ".join(passing) or best)
    assert list(memory.prompts) == expected
    assert len(set(expected)) > 1
    without = execute_tiny(tiny_plan([Stages()], kind, prompt="a hill, the sea"), kind)
    assert float((latents - without).abs().max()) > 0.01


@pytest.mark.parametrize(("kind", "unit"), [("sd", "word"), ("sdxl", "word"), ("sd", "token")])
def test_the_attention_to_all_tokens_counts_by_what_a_word_changes(kind: Kind, unit: Any) -> None:
    own, every = (PatchContentPrompts(levels=(1,), threshold=0.45, tokens=way, unit=unit) for way in ("own", "all"))
    plans = [plan_of(plugin, kind) for plugin in (own, every)]
    for plan in plans:
        execute_tiny(plan, kind)
    first, second = (plugin.memory(plan.stages[-1]) for plugin, plan in zip((own, every), plans, strict=True))
    assert torch.equal(first.attention.mean(), second.attention.mean())
    assert [word.text for word in first.words] == [word.text for word in second.words]
    model = tiny_model(kind)
    found = influence(second.words, lambda text: model.embed(text)[0], "<|endoftext|>")
    assert found.shape == (len(second.words), len(second.attention.mean()))
    sums = found.sum(0)
    assert sums[0] == 0
    assert torch.allclose(sums[1:], torch.ones(len(sums) - 1))
    for number, word in enumerate(second.words):
        assert not found[number, : word.positions[0]].any()  # the encoder reads from left to right
        assert found[number, -1] > 0
    assert np.array_equal(second.masks, above_mean(shared_maps(second.attention.mean(), found)))
    assert not np.array_equal(first.masks, second.masks)


@pytest.mark.parametrize("kind", KINDS)
def test_threshold_0_is_the_run_without_the_plugin(kind: Kind) -> None:
    prompt = "a hill,  the sea and much more than fits"
    without = tiny_run([Stages()], kind, prompt=prompt)
    assert tiny_run([Stages(), PatchContentPrompts(levels=(1,), threshold=0)], kind, prompt=prompt).equal(without)


def attention_of(**fields: Any) -> Tensor:
    plugin = PatchContentPrompts(levels=(1,))
    plan = plan_of(plugin, **fields)
    execute_tiny(plan)
    return plugin.memory(plan.stages[0]).attention.mean()


def test_a_first_stage_of_several_windows() -> None:
    stages = Stages(sizes=((104, 88),))
    alone, others = (attention_of(stages=stages, size=(208, 176), batch_size=size) for size in (1, 8))
    assert alone.shape == (16, 11, 13)
    # A softmax of activations that are some times larger than itself.
    assert float((alone - others).abs().max()) < rounding(alone, passes=4)
    assert torch.allclose(alone.sum(0), torch.ones(()), atol=rounding(1.0, passes=4))


def test_the_store_does_not_grow_with_the_steps() -> None:
    def held(steps: int) -> list[tuple[int, ...]]:
        plugin = PatchContentPrompts(levels=(1,))
        plan = plan_of(plugin, steps=steps)
        execute_tiny(plan)
        attention = plugin.memory(plan.stages[0]).attention
        assert attention.steps == steps
        return [tuple(each.shape) for each in attention.sums.values()]

    assert held(2) == held(9) == [(16, 8, 8)]


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "heun", "edm-euler"])
def test_a_run_that_starts_from_a_picture_looks_at_it_first(tmp_path: Path, scheduler: str) -> None:
    across = np.linspace(0, 255, 96, dtype=np.uint8)
    Image.fromarray(np.dstack([np.tile(across, (64, 1))] * 3)).save(tmp_path / "picture.png")
    plugin = PatchContentPrompts(levels=(1,), threshold=0.45)

    def run(*plugins: Plugin) -> tuple[RunPlan, Tensor]:
        fields: dict[str, Any] = {"size": (192, 128), "prompt": "a hill, the sea", "scheduler": scheduler, "steps": 12}
        plan = tiny_plan([Stages(picture=tmp_path / "picture.png"), *plugins], **fields)
        return plan, execute_tiny(plan)

    plan, latents = run(plugin)
    (stage,) = plan.stages
    memory = plugin.memory(stage)
    assert memory.attention.steps == 10
    assert memory.attention.mean().shape == (16, 8, 12)
    assert len(set(memory.prompts)) > 1
    # Looking takes nothing from the run: with every word everywhere it is as if there were no plugin.
    neutral = run(PatchContentPrompts(levels=(1,), threshold=0))[1]
    assert neutral.equal(run()[1])
    assert not latents.equal(neutral)


class ToldApart(Plugin):
    """Puts another prompt into the first view, with a negative one, and says what the views were given in the end."""

    given: Any

    @hookimpl(wrapper=True)
    def prompt_per_patch(self, stage: Any, patches: Patches) -> Any:
        _, *rest = yield
        return [Prompt("the sky", "dark"), *rest] if stage.index else [Prompt("the sky"), *rest]

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Any, patches: Patches) -> Any:
        if stage.index:
            self.given.append(patches.prompts)
        return (yield)


def test_prompts_that_another_plugin_puts_in_stay() -> None:
    given: list[Any] = []
    plugin = PatchContentPrompts(levels=(1,), threshold=0.45)
    execute_tiny(tiny_plan([Stages(), ToldApart(given=given), plugin], prompt="a hill, the sea"))
    assert all(prompts[0] == Prompt("the sky", "dark") for prompts in given)
    assert {prompt.text for prompts in given for prompt in prompts[1:]} <= {"a hill,", "the sea", "a hill, the sea"}


class TwoKinds(Plugin):
    """A second group, of another kind than windows."""

    given: Any

    @hookimpl(wrapper=True)
    def views(self, stage: Any) -> Any:
        groups = yield
        return [*groups, Patches((View(0, 0, 8, 8),), kind="dilated")]

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Any, patches: Patches) -> Any:
        if patches.kind == "dilated":
            self.given.extend(prompt.text for prompt in patches.prompts)
        return (yield)


def test_only_windows_are_watched_and_get_prompts_of_their_own() -> None:
    given: list[str] = []
    plugin = PatchContentPrompts(levels=(1,), threshold=0.45)
    plan = tiny_plan([Stages(), TwoKinds(given=given), plugin], prompt="a hill, the sea")
    execute_tiny(plan)
    assert given == ["a hill, the sea"] * 6
    assert plugin.memory(plan.stages[0]).attention.steps == 3


def test_each_distinct_prompt_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, encoded = tiny_model("sd"), []
    monkeypatch.setattr(model, "_embeddings", {})
    encode = model.encode_prompt
    monkeypatch.setattr(model, "encode_prompt", lambda text, skip: encoded.append(text) or encode(text, skip))
    from fusionkit.runs.run import execute

    execute(plan_of(PatchContentPrompts(levels=(1,), threshold=0.45), steps=6), model)
    assert sorted(encoded) == sorted(set(encoded))
    assert {"", "a hill, the sea"} < set(encoded)


# Pictures.


def test_maps_show_each_word_and_the_views() -> None:
    plugin = PatchContentPrompts(levels=(1,), threshold=0.45)
    plan = plan_of(plugin)
    image = tiny_model("sd").decode(execute_tiny(plan))
    maps = ask_maps(plan, image)
    assert list(maps) == ["word-02-hill", "word-04-sea", "prompts"]
    masks = plugin.masks(plan.stages[-1])
    white = ask_maps(plan, Image.new("RGB", (64, 64), "white"))
    for number, name in ((1, "word-02-hill"), (3, "word-04-sea")):
        assert maps[name].size == (768, 424)
        shown = np.asarray(white[name].convert("L"), np.float32)[:768]
        # Dimmed outside the mask, in the middle of each of the 8x8 cells.
        middles = shown[48::96, 48::96] > 150
        assert np.array_equal(middles, masks[number] > 0)
    assert maps["prompts"].size == (768 + 512, 384)
    colours = {pixel for _, pixel in maps["prompts"].crop((768, 0, 1280, 384)).getcolors(100_000)}
    assert len(colours) > len(set(plugin.memory(plan.stages[-1]).prompts))


def test_maps_of_a_run_of_one_stage_are_the_words_alone() -> None:
    plan = tiny_plan([PatchContentPrompts(levels=(1,))], size=(64, 64))
    execute_tiny(plan)
    assert list(ask_maps(plan, Image.new("RGB", (64, 64)))) == ["word-02-hill"]


def test_the_model_is_as_it_was() -> None:
    unet = tiny_pipeline("sd").unet
    processors = dict(unet.attn_processors)
    tiny_run([Stages(), PatchContentPrompts(levels=(1,))])
    assert all(unet.attn_processors[name] is each for name, each in processors.items())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in unet.modules())
