"""CutDiffusion against lmbxmu/CutDiffusion cutdiffusion.py: every canvas after every step of both phases.

Fed its permutations and its jittered views; the noise is what torch draws from the case's seed, patch after patch.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from replay import Case, Seen, apart, cases, run
from torch import Tensor

from fusionkit import Patches, Plugin, Stage, Step, View, hookimpl
from fusionkit_cutdiffusion import CutDiffusion
from fusionkit_multidiffusion import MultiDiffusion

TOLERANCE = 1e-3
PATHS = cases("cutdiffusion")


class Shuffled(CutDiffusion):
    """With the permutations of the recording."""

    index: Any
    undone: bool = True

    def permutation(self, stage: Stage, at: Step, shape: Sequence[int]) -> Tensor:
        index: Tensor = self.index[at.index].long()
        return index

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        prediction = yield from super().noise_prediction(stage, at, patches)
        if self.undone or patches.kind == "window":
            return prediction
        return prediction.gather(0, self.permutation(stage, at, prediction.shape))


class Jittered(Plugin):
    """The views of the recording, in the coordinates of a canvas padded by the reach of their jitter."""

    recorded: Any
    padding: int

    @hookimpl(wrapper=True)
    def views(self, at: Step) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        (patches,) = yield
        first = at.total - len(self.recorded)
        if at.index < first:
            return [patches]
        views = tuple(
            View(top - self.padding, left - self.padding, bottom - top, right - left)
            for top, bottom, left, right in self.recorded[at.index - first].tolist()
        )
        return [replace(patches, views=views)]


def interleaved(patches: Tensor, case: Case) -> Tensor:
    """Patches (..., P, C, h, w), row by row, as the canvases (..., C, H, W) that they are every r-th pixel of."""
    down, across = (case.params[side] // 8 // case.params["window"] for side in ("height", "width"))
    grid = patches.unflatten(-4, (down, across)).movedim((-5, -4), (-2, -1))  # (..., C, h, w, down, across)
    return grid.transpose(-3, -2).flatten(-4, -3).flatten(-2)


def read(path: Path) -> Case:
    case = Case.read(path)
    if "initial_noise" not in case:
        window = case.params["window"]
        count = case.params["height"] * case.params["width"] // (8 * window) ** 2
        generator = torch.Generator().manual_seed(case.params["seed"])
        case.arrays["initial_noise"] = torch.stack(
            [torch.randn(1, 4, window, window, generator=generator)[0] for _ in range(count)]
        )
    case.arrays["initial_noise"] = interleaved(case["initial_noise"], case)
    return case


def replayed(case: Case, steps: int | None = None, **changes: Any) -> Seen:
    params = case.params
    assert params["guidance_scale"] == params["multi_guidance_scale"]
    padding = (params["window"] - params["stride"]) // 4
    options = {"until": params["proportion"], "shuffle": params["shuffle"], **changes}
    plugins: list[Plugin] = [
        MultiDiffusion(stride=params["stride"] * 8),
        Jittered(recorded=case["views"], padding=padding),
        Shuffled(index=case.arrays.get("shuffle_index"), **options),
    ]
    window = params["window"] * 8
    size = (params["width"], params["height"])
    return run(case, plugins, size, (window, window), steps, padding)


def theirs(case: Case) -> Tensor:
    """The canvases after all steps; those of the first phase put together."""
    return torch.cat([interleaved(case["structure_latents_after_step"], case), case["canvas_after_step"]])


def difference(case: Case, steps: int, **changes: Any) -> float:
    """How far the canvases of the first steps are apart."""
    seen = replayed(case, steps, **changes)
    return apart(torch.stack(seen.canvases), theirs(case)[:steps])


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_canvas_after_every_step(path: Path) -> None:
    case = read(path)
    seen = replayed(case)
    found = apart(torch.stack(seen.canvases), theirs(case))
    print(f"largest difference: {found:.1e}")
    assert seen.timesteps == case["timesteps"].tolist()
    assert found < TOLERANCE


def test_wrong_recipes_are_told_apart() -> None:
    case = read(PATHS[0])
    # What is wrong from the first step on is seen after it.
    assert difference(case, 1, shuffle=False) > 1
    assert difference(case, 1, undone=False) > 1
    assert difference(case, 2, until=0.25) > 1
    canvas = case["initial_noise"]
    rows = [torch.cat([canvas[..., row::2, column::2] for column in range(2)], -1) for row in range(2)]
    case.arrays["initial_noise"] = torch.cat(rows, -2)
    assert difference(case, 1) > 1
