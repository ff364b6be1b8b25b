"""Patch-content-aware prompts against AccDiffusion's code: attention, masks, shares of the views, and prompts.

The cases are all that the files in the systems' folders hold. What differs from the product by design is put on in the
test: tokens in place of words, views that get empty prompts, and the reference's coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from replay import HERE, Case, apart, checkpoint, pipeline_of

from fusionkit import Plugin, Recipe, StagePlan, View, hookimpl
from fusionkit.loop.view_maps import ViewMaps
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.models.load import wrap_pipeline
from fusionkit.models.prompts.tokens import text_tokens
from fusionkit.runs.run import execute, prepare
from fusionkit_accdiffusion import PatchContentPrompts
from fusionkit_accdiffusion.masks import above_mean, eroded, opened, shares
from fusionkit_accdiffusion.words import Choice, tokens_of

FILES = [path for system in ("accdiffusion_v1", "accdiffusion_v2") for path in (HERE / "data" / system).glob("*.npz")]
PROMPTS = [
    pytest.param(path, number, id=f"{path.parent.name}-{path.stem}-{number}")
    for path in sorted(FILES)
    if path.stem.startswith("md_prompts")
    for number in range(len(Case.read(path).params["cases"]))
]
RUNS = [
    pytest.param(path, id=f"{path.parent.name}-{path.stem}")
    for path in sorted(FILES)
    if {"attention_maps", "masks"} <= set(Case.read(path).arrays)
]


def by_token(array: torch.Tensor) -> np.ndarray:
    """The reference's (h, w, L) as (L, h, w)."""
    return array.permute(2, 0, 1).numpy()


def shares_of(masks: np.ndarray, boxes: Sequence[Sequence[int]], scale: int, padding: int) -> np.ndarray:
    """The shares (P, W) of the reference's views, which lie on the canvas with the jitter's padding around it.

    Its canvas has `scale` times the pixels of the attention along a side, and outside of it no word has any.
    """
    around = ((0, 0), (padding, padding), (padding, padding))
    canvas = np.pad(masks.repeat(scale, 1).repeat(scale, 2), around)
    views = [View(top, left, bottom - top, right - left) for top, bottom, left, right in boxes]
    return shares(canvas, views, canvas.shape[1:])


def prompts_of(prompt: str, tokenizer: Any, covered: np.ndarray, threshold: float) -> list[str]:
    choice, tokens = Choice(threshold, "nothing"), tokens_of(text_tokens(prompt, tokenizer))
    # Spelled by the tokenizer also where no token is struck.
    spelled = " ".join(token.text for token in tokens)
    return [choice.prompt(spelled, tokens, row.tolist()) for row in covered]


def case_of(path: Path, number: int) -> tuple[dict[str, Any], Case]:
    """One case's parameters, and its arrays without the case's prefix."""
    file, prefix = Case.read(path), f"c{number}_"
    own = {name.removeprefix(prefix): array for name, array in file.arrays.items() if name.startswith(prefix)}
    return file.params["cases"][number], Case(prefix, file.params, own)


def padding_of(case: dict[str, Any]) -> int:
    # Windows are half a window apart, and a quarter of the overlap is how far they are moved.
    return case["res"] // 8 if case["random_jitter"] else 0


LAYERS = [each for each in PROMPTS if any("_cross_" in name for name in case_of(*each.values)[1].arrays)]


@pytest.mark.parametrize(("path", "number"), PROMPTS)
def test_masks(path: Path, number: int) -> None:
    _, arrays = case_of(path, number)
    raw = above_mean(by_token(arrays["attention"]))
    assert raw.dtype == np.uint8
    assert np.array_equal(raw * 255, arrays["mask_raw"].numpy())
    assert np.array_equal(eroded(raw) * 255, arrays["mask_eroded"].numpy())
    assert np.array_equal(opened(raw) * 255, arrays["mask"].numpy())


@pytest.mark.parametrize(("path", "number"), PROMPTS)
def test_shares_and_prompts(path: Path, number: int) -> None:
    case, arrays = case_of(path, number)
    tokenizer = checkpoint("tiny-sdxl").tokenizer
    assert [token.text for token in tokens_of(text_tokens(case["prompt"], tokenizer))] == case["tokens"][1:-1]
    masks = opened(above_mean(by_token(arrays["attention"])))[1:-1]
    for scale, boxes in case["views"].items():
        if not len(masks):
            assert case["prompts"][scale] == []
            continue
        covered = shares_of(masks, boxes, int(scale), padding_of(case))
        theirs = arrays[f"fraction_scale{scale}_words_x_views"].numpy().T
        assert covered.shape == theirs.shape
        assert np.abs(covered - theirs).max() < 1e-6
        assert prompts_of(case["prompt"], tokenizer, covered, case["c"]) == case["prompts"][scale]


@pytest.mark.parametrize(("path", "number"), LAYERS)
def test_mean_over_heads_and_layers(path: Path, number: int) -> None:
    case, arrays = case_of(path, number)
    maps = ViewMaps(1, {4: (case["res"], case["res"])})
    for name, array in arrays.arrays.items():
        # The middle block does not count.
        if "_cross_" in name and not name.startswith("mid"):
            maps.add(name, 4, array.mean(0).T.reshape(1, -1, case["res"], case["res"]))
    theirs = by_token(arrays["attention"])
    assert np.abs(maps.mean(4)[0, : len(theirs)].numpy() - theirs).max() < 1e-6


@pytest.mark.parametrize(("path", "number"), PROMPTS)
def test_a_wrong_threshold_is_told_apart(path: Path, number: int) -> None:
    case, arrays = case_of(path, number)
    fractions = [arrays[name].numpy() for name in arrays.arrays if name.startswith("fraction")]
    distinct = np.unique(np.concatenate([each.ravel() for each in fractions]))
    if len(distinct) < 2:
        pytest.skip("no word covers more of one view than of another")
    # Between two shares, on the other side of at least one than the right threshold.
    wrong = float(distinct[-1] + distinct[-2]) / 2 if case["c"] <= distinct[-2] else 0.0
    tokenizer = checkpoint("tiny-sdxl").tokenizer
    masks = opened(above_mean(by_token(arrays["attention"])))[1:-1]
    ours = {
        scale: prompts_of(case["prompt"], tokenizer, shares_of(masks, boxes, int(scale), padding_of(case)), wrong)
        for scale, boxes in case["views"].items()
    }
    assert ours != case["prompts"]


class FirstStage(Plugin):
    """The first stage of a run alone, from its own noise."""

    case: Any
    size: tuple[int, int]

    @hookimpl
    def plan_stages(self) -> list[StagePlan]:
        return [StagePlan(self.size)]

    @hookimpl
    def init_noise(self) -> torch.Tensor:
        return self.case["initial_noise"]


@pytest.mark.parametrize("path", RUNS)
def test_attention_masks_and_prompts_of_a_run(path: Path) -> None:
    case = Case.read(path)
    call, pipe = case.params["call"], pipeline_of(case)
    rows, columns = case["initial_noise"].shape[-2:]
    size = (columns * pipe.vae_scale_factor, rows * pipe.vae_scale_factor)
    plugin = PatchContentPrompts(threshold=call["c"], unit="token", empty="nothing")
    recipe = Recipe(
        prompt=call["prompt"],
        negative_prompt=call["negative_prompt"],
        size=(call["width"], call["height"]),
        window=size,
        steps=call["num_inference_steps"],
        guidance_scale=call["guidance_scale"],
        plugins=[FirstStage(case=case, size=size), plugin],
    )
    plan = prepare(recipe, info_of_pipeline(pipe))
    latents = execute(plan, wrap_pipeline(pipe, batch_size=None))
    (stage,) = plan.stages
    assert apart(latents, case["stage1_latents_after_step"][-1]) < 1e-3

    ours, theirs = plugin.memory(stage).attention.mean().numpy(), by_token(case["attention_maps"])
    # The reference lays maps that are not square out transposed: the same pixels in the same order, in other rows.
    as_theirs = ours.reshape(theirs.shape)
    difference = np.abs(as_theirs - theirs).max()
    print(f"largest difference of the attention: {difference:.1e}")
    # It follows latents of several steps, which may differ by more than its own rounding.
    assert difference < 1e-4
    assert np.abs(as_theirs[::-1] - theirs).max() > 1e-2
    # Recorded from the start token to the end token.
    recorded = case["masks"].numpy()
    masks = opened(above_mean(as_theirs[: len(recorded)]))
    assert np.array_equal(masks * 255, recorded)
    masks = masks[1:-1]
    if rows == columns:
        assert np.array_equal(plugin.masks(stage), masks)

    for scale, boxes in case.params["views_attention"].items():
        level = round(rows / masks.shape[1])
        padding = (min(rows, columns) - call["stride"]) // 4 // level
        covered = shares_of(masks, boxes, int(scale), padding)
        expected = case.params["md_prompts"][scale]
        assert prompts_of(call["prompt"], pipe.tokenizer, covered, call["c"]) == expected
        assert prompts_of(call["prompt"], pipe.tokenizer, covered, call["c"] + 0.2) != expected
