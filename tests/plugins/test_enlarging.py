"""Enlarging what a recipe alone draws: its stages, the first of which is that very picture, and what is drawn anew."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from upscaling import problem, sizes, watched

from fusionkit import RecipeError
from fusionkit.recipe.recipe_file import read_recipe
from fusionkit.runs.checks import check_file
from fusionkit.testing import KINDS, Kind, execute_tiny, tiny_plan, tiny_run
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_gvcf import GuidedFusion, StyleAlignment, VarianceCorrectedFusion
from fusionkit_multidiffusion import MultiDiffusion
from fusionkit_regions import Regions

CHECKPOINTS = Path(__file__).parents[1] / "golden" / "checkpoints"
BOX = {"boat": {"box": (120, 8, 48, 32), "prompt": "a boat"}}


@pytest.mark.parametrize(
    ("size", "options", "found"),
    [
        ((192, 64), {"times": 2}, [(192, 64), (384, 128)]),
        ((192, 64), {"times": 4}, [(192, 64), (384, 128), (576, 192), (768, 256)]),
        ((192, 64), {"times": 4, "stages": [2]}, [(192, 64), (384, 128), (768, 256)]),
        ((192, 64), {"times": 3, "stages": []}, [(192, 64), (576, 192)]),
        ((40, 24), {"times": 1.5}, [(40, 24), (64, 32)]),
        ((64, 64), {"times": 1.1}, [(64, 64), (72, 72)]),
    ],
)
def test_stages_begin_at_the_recipes_size(size: tuple[int, int], options: dict, found: list) -> None:
    assert sizes(size, **options) == found


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_stage_is_the_picture_itself(kind: Kind) -> None:
    """Bit for bit, whatever draws it: also what places things in the picture, and what SDXL is told of its size."""
    plugins = [StyleAlignment(alpha=0.4), MultiDiffusion(stride=32), GuidedFusion(), VarianceCorrectedFusion()]
    plugins.append(Regions(boxes=BOX))
    alone = tiny_run(plugins, kind, size=(192, 64), steps=2, scheduler="ddpm")
    enlarging = ProgressiveUpscaling(times=2, strength=0.5)
    kept, _ = watched(*plugins, enlarging, kind=kind, size=(192, 64), scheduler="ddpm")
    assert torch.equal(kept[0]["canvases"][-1], alone)
    assert kept[1]["stage"].plan.size == (384, 128)
    assert [len(each["canvases"]) for each in kept.values()] == [2, 1]


def test_strength_takes_the_last_steps() -> None:
    plan = tiny_plan([ProgressiveUpscaling(times=3, strength=0.4)], size=(128, 64), steps=10)
    assert [stage.sampling_steps for stage in plan.stages] == [10, 4, 4]
    whole = tiny_plan([ProgressiveUpscaling(times=3)], size=(128, 64), steps=10)
    assert torch.equal(plan.stages[1].scheduler.timesteps, whole.stages[1].scheduler.timesteps[-4:])
    kept, first = watched(ProgressiveUpscaling(times=2, strength=0.5), size=(64, 64), scheduler="ddim")
    stage, (begun, noise) = kept[1]["stage"], first[1]
    enlarged = torch.nn.functional.interpolate(kept[1]["previous"], scale_factor=2, mode="bicubic")
    assert torch.allclose(begun, stage.scheduler.add_noise(enlarged, noise, stage.steps[0].timestep), atol=1e-5)


def test_without_strength_nothing_changes() -> None:
    whole, all_steps = (
        execute_tiny(tiny_plan([ProgressiveUpscaling(strength=strength)], size=(128, 128), steps=2))
        for strength in (None, 1.0)
    )
    assert torch.equal(whole, all_steps)


def test_the_file_holds_what_is_enlarged(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        f"model: {CHECKPOINTS / 'tiny-sd'}\nsize: 8192x64\nwindow: 64x64\nsteps: 1\noutput: {tmp_path / 'a.webp'}\n"
        "plugins: [progressive-upscaling: {times: 2}]\n"
    )
    with pytest.raises(RecipeError, match="WEBP holds at most 16383 pixels a side, not 16384"):
        check_file(read_recipe(tmp_path / "r.yaml"))


def test_what_makes_no_sense_is_told() -> None:
    assert problem(ProgressiveUpscaling(times=2, strength=0.1), size=(128, 64), steps=5) == (
        "strength 0.1 of stage '256x128' leaves none of 5 steps; use at least 0.2, or more steps"
    )
    assert problem(ProgressiveUpscaling(times=1.01), size=(64, 64)) == (
        "progressive-upscaling: times 1.01 adds nothing to 64x64; use a larger number"
    )
    assert problem(ProgressiveUpscaling(times=2, stages=[3]), size=(64, 64)) == (
        "progressive-upscaling: stage 128x128 is no larger than the one before it, 192x192; stages go from the first "
        "to the last, 128x128"
    )
    assert problem(ProgressiveUpscaling(times=2, first=(64, 64)), size=(64, 64)) == (
        "progressive-upscaling: has both 'times' and 'first'; give one of them"
    )
    for odd in ({"times": 1}, {"times": float("inf")}, {"strength": 0}, {"strength": 1.5}):
        with pytest.raises(ValueError, match=next(iter(odd))):
            ProgressiveUpscaling(**odd)
    with pytest.raises(RecipeError):
        tiny_plan([ProgressiveUpscaling(times=1e6)], size=(64, 64))
