"""Interleaved pictures of the canvas: where they lie, when they are drawn, and what the model is shown of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from flow_plans import flow_plan
from torch import Tensor

from fusionkit import Patches, Plugin, StagePlan, View, hookimpl
from fusionkit.loop.canvas import gather
from fusionkit.loop.denoise import ask_views
from fusionkit.recipe import limits
from fusionkit.testing import execute_tiny, tiny_plan, tiny_run
from fusionkit_cutdiffusion import CutDiffusion
from fusionkit_cutdiffusion.cut_diffusion import KIND, inward
from fusionkit_gvcf import GuidedFusion, VarianceCorrectedFusion
from fusionkit_multidiffusion import MultiDiffusion
from fusionkit_spotdiffusion import ShiftedWindows


def kinds(steps: int, **options: Any) -> list[str]:
    plan = tiny_plan([MultiDiffusion(stride=32), CutDiffusion(**options)], size=(128, 128), steps=steps)
    return [ask_views(plan.stages[0], at, plan.hooks)[0].kind for at in plan.stages[0].steps]


@pytest.mark.parametrize(
    ("steps", "until", "first"), [(4, 0.5, 2), (5, 0.5, 2), (7, 0.5, 4), (5, 0.3, 2), (3, 1, 3), (3, 0, 0), (3, 0.1, 0)]
)
def test_a_share_of_the_steps_is_rounded(steps: int, until: float, first: int) -> None:
    assert kinds(steps, until=until) == [KIND] * first + ["window"] * (steps - first)


def views_of(size: tuple[int, int], *plugins: Plugin, step: int = 0, **fields: Any) -> tuple[View, ...]:
    plan = tiny_plan([*plugins, CutDiffusion(until=1)], size=size, **fields)
    (patches,) = ask_views(plan.stages[0], plan.stages[0].steps[step], plan.hooks)
    return patches.views


def test_each_side_is_cut_as_often_as_the_window_fits_into_it() -> None:
    # A canvas of 16x24 latent pixels and a window of 8x8, as the published code interleaves it.
    assert views_of((192, 128)) == tuple(
        View(row, column, 8, 8, 2, across=3) for row in range(2) for column in range(3)
    )
    assert views_of((192, 64)) == tuple(View(0, column, 8, 8, 1, across=3) for column in range(3))
    assert views_of((64, 128)) == tuple(View(row, 0, 8, 8, 2, across=1) for row in range(2))


@pytest.mark.parametrize("size", [(128, 128), (136, 72), (200, 152), (88, 64)])
def test_every_pixel_is_in_one_picture_none_larger_than_the_window(size: tuple[int, int]) -> None:
    width, height = (side // 8 for side in size)
    counted = torch.zeros(height, width)
    for view in views_of(size):
        assert view.height <= 8 >= view.width
        for (rows, columns), _ in view.parts((height, width)):
            counted[rows, columns] += 1
    assert bool((counted == 1).all())


def test_on_a_ring_they_begin_elsewhere_at_each_step() -> None:
    steps = [views_of((128, 64), ShiftedWindows(ring="x"), step=step) for step in range(3)]
    assert len({views[0].left for views in steps}) > 1
    assert all({(view.left - views[0].left) % 16 for view in views} == {0, 1} for views in steps)


def test_beyond_the_border_lies_what_is_nearest_and_no_zeros() -> None:
    plan = tiny_plan([CutDiffusion(until=1)], size=(88, 72))
    stage = plan.stages[0]
    (patches,) = ask_views(stage, stage.steps[0], plan.hooks)
    canvas = torch.arange(1.0, 1 + 9 * 11).reshape(1, 1, 9, 11)
    samples = gather(canvas, patches.views)
    assert float(samples.min()) == 0
    filled = inward(samples, stage.canvas, (2, 2))
    for view, each in zip(patches.views, filled, strict=True):
        rows = (view.top + 2 * torch.arange(view.height)).clamp_min(0)
        columns = (view.left + 2 * torch.arange(view.width)).clamp_min(0)
        assert each.equal(canvas[0][:, rows[:, None], columns])
    assert inward(filled, (8, 8), (2, 2)) is filled


class Shown(Plugin):
    """In place of the model: the latents as it is shown them, which are kept."""

    seen: Any

    @hookimpl
    def noise_prediction(self, patches: Patches) -> Tensor:
        if patches.kind == KIND:
            self.seen.append(patches.latents.clone())
        return patches.latents.clone()


class Canvas(Plugin):
    """Keeps the samples of the canvas, and what is predicted of them, undone."""

    seen: Any

    @hookimpl(wrapper=True)
    def noise_prediction(self, patches: Patches) -> Any:
        before = patches.latents
        prediction = yield
        assert patches.latents is before
        if patches.kind == KIND:
            self.seen.append((before, prediction))
        return prediction


class Without(Plugin):
    """Leaves out the second picture, and answers zeros of it."""

    @hookimpl(wrapper=True)
    def noise_prediction(self, patches: Patches) -> Any:
        predict = [number != 1 for number in range(len(patches.views))]
        with patches.only(predict, by=self):
            return (yield).nan_to_num()

    @hookimpl(wrapper=True)
    def forward_passes(self, patches: Patches) -> Any:
        with patches.only([number != 1 for number in range(len(patches.views))], by=self):
            return (yield)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("others", [[], [Without()]])
def test_pixels_are_exchanged_and_come_back(shuffle: bool, others: list[Plugin]) -> None:
    shown: list[Tensor] = []
    canvas: list[tuple[Tensor, Tensor]] = []
    plugins = [Shown(seen=shown), CutDiffusion(shuffle=shuffle), Canvas(seen=canvas), *others]
    tiny_run(plugins, size=(128, 128), steps=2)
    (samples, prediction), given = canvas[0], shown[0]
    assert prediction.equal(samples), "a prediction of the very latents must come back where they belong"
    assert given.equal(samples) is not shuffle
    asked = [0, 2, 3] if others else [0, 1, 2, 3]
    assert given[asked].sort(0).values.equal(samples[asked].sort(0).values)
    assert bool((given[asked] != samples[asked]).flatten(1).any(1).all()) is shuffle


def test_the_permutation_is_drawn_anew_at_each_step() -> None:
    plan = tiny_plan([CutDiffusion()], size=(128, 128))
    stage = plan.stages[0]
    orders = [CutDiffusion().permutation(stage, at, (4, 4, 8, 8)) for at in stage.steps[:2]]
    assert all(order.sort(0).values.equal(torch.arange(4).view(-1, 1, 1, 1).expand(4, 4, 8, 8)) for order in orders)
    assert not orders[0].equal(orders[1])


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpm++-2m", "euler-a"])
def test_any_scheduler_goes_over_from_pictures_to_windows(scheduler: str) -> None:
    plugins = [MultiDiffusion(stride=32, jitter=8), CutDiffusion(), GuidedFusion()]
    fields: Any = {"size": (136, 128), "scheduler": scheduler, "steps": 4}
    latents = tiny_run(plugins, "sdxl", **fields)
    assert latents.isfinite().all()
    assert not latents.equal(tiny_run([*plugins[:1], *plugins[2:]], "sdxl", **fields))


def test_a_flow_and_noise_of_the_views() -> None:
    plugins = [MultiDiffusion(stride=32), CutDiffusion(), VarianceCorrectedFusion()]
    latents = execute_tiny(flow_plan(plugins, size=(192, 72)))
    assert latents.isfinite().all()


def test_on_one_window_nothing_changes() -> None:
    assert tiny_run([CutDiffusion()], size=(64, 48)).equal(tiny_run([], size=(64, 48)))


def test_too_many_pictures_are_one_line() -> None:
    side = 64 * (int(limits.VIEWS**0.5) + 1)
    stage = replace(tiny_plan([], size=(64, 64)).stages[0], plan=StagePlan((side, side)))
    (line,) = CutDiffusion().check(stage)
    assert line.startswith(f"cut-diffusion: size {side}x{side} makes")
