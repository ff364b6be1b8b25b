"""Shifted windows against stanifrolov/spotdiffusion: every canvas after every step, fed its noise and its shifts."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import pytest
import torch
from replay import Case, Seen, apart, cases, run
from torch import Tensor

from fusionkit import Patches, Plugin, Stage, Step, hookimpl
from fusionkit_spotdiffusion import ShiftedWindows

TOLERANCE = 1e-3


class WholeWindowsAlone(Plugin):
    """The published fault: what no whole window of its rolled canvas covers is 0 after each step.

    The other windows' weights are not 0 here but next to nothing, since the product refuses a canvas with holes.
    """

    @hookimpl(wrapper=True)
    def views(self, stage: Stage) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        (group,) = yield
        weights = torch.full((len(group.views), 1, 1, 1), 1e-30)
        weights[: stage.canvas[1] // stage.window[1]] = 1
        return [group.weighted(weights)]

    @hookimpl(wrapper=True)
    def step(self, stage: Stage, at: Step) -> Generator[None, Tensor, Tensor]:
        latents = (yield).clone()
        (plugin,) = (plugin for plugin in stage.recipe.plugins if isinstance(plugin, ShiftedWindows))
        _, left = plugin.offset(stage, at)
        covered = stage.canvas[1] // stage.window[1] * stage.window[1]
        hole = [(left + column) % stage.canvas[1] for column in range(covered, stage.canvas[1])]
        latents[..., hole] = 0
        return latents


def replayed(case: Case, *others: Plugin, shifts: Sequence[int] | None = None) -> Seen:
    """The case by the product, whose canvas stays where it is: the shifts in pixels, as the paper's windows move."""
    window = case.params["window"] * 8
    moved = [int(shift) * 8 for shift in case["shifts"]] if shifts is None else shifts
    plugins = [ShiftedWindows(axes="x", shifts=tuple(moved)), *others]
    return run(case, plugins, (case.params["width"], case.params["height"]), (window, window))


def rolled(case: Case, seen: Seen) -> Tensor:
    """Our canvases, rolled as the reference's are after each step."""
    sums = case["shifts"].cumsum(0).tolist()
    return torch.stack([canvas.roll(-by, -1) for canvas, by in zip(seen.canvases, sums, strict=True)])


@pytest.mark.parametrize("path", cases("spotdiffusion"), ids=lambda path: path.stem)
def test_every_canvas_after_every_step(path: Path) -> None:
    case = Case.read(path)
    seen = replayed(case, *([WholeWindowsAlone()] if "uncovered" in path.stem else []))
    difference = apart(rolled(case, seen), case["canvas_after_step"])
    print(f"largest difference: {difference:.1e}")
    assert seen.timesteps == case["timesteps"].tolist()
    assert difference < TOLERANCE


@pytest.mark.parametrize("fault", ["no shift", "to the right", "guidance"])
def test_a_wrong_recipe_is_told_apart(fault: str) -> None:
    case = Case.read(next(path for path in cases("spotdiffusion") if path.stem == "win16_16x64"))
    shifts = {"no shift": [0], "to the right": [512 - 8 * int(shift) for shift in case["shifts"]]}.get(fault)
    if fault == "guidance":
        case.params["guidance_scale"] += 0.01
    seen = replayed(case, shifts=shifts)
    assert apart(rolled(case, seen), case["canvas_after_step"]) > (2e-3 if fault == "guidance" else 1)


def test_what_the_reference_leaves_empty_is_drawn() -> None:
    case = Case.read(next(path for path in cases("spotdiffusion") if path.stem == "win16_16x40_uncovered"))
    theirs, ours = case["canvas_after_step"], rolled(case, replayed(case))
    # After the first step and its shift k, columns 32 to 39 are at 32 - k.
    empty = [column for column in range(40) if (theirs[0, ..., column].nan_to_num() == 0).all() and column % 4 == 0]
    assert empty
    assert float(ours[0][..., empty].abs().min()) > 0
    assert apart(ours, theirs) > 1
