"""Dilated sampling: which samples there are, what the model is shown of them, and what they weigh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from rounding import rounding
from torch import Tensor

from fusionkit import Fusion, Patches, Plugin, PluginError, Stage, Step, View, hookimpl
from fusionkit.loop.canvas import gather, scatter
from fusionkit.loop.denoise import check_coverage, denoise
from fusionkit.recipe.problems import problems_of
from fusionkit.runs.run import execute
from fusionkit.testing import KINDS, Kind, execute_tiny, tiny_model, tiny_pipeline, tiny_plan, tiny_run
from fusionkit_accdiffusion import DilatedSampling, ProgressiveUpscaling
from fusionkit_accdiffusion.cosine import cosine
from fusionkit_accdiffusion.dilated_sampling import (
    KIND,
    dilated_views,
    gaussian_filter,
    times_larger,
)
from fusionkit_gvcf import GuidedFusion, StyleAlignment, VarianceCorrectedFusion
from fusionkit_multidiffusion import MultiDiffusion

CANVASES = [(16, 16), (16, 24), (17, 25), (9, 8), (1, 33), (40, 11), (3, 2)]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def stage_of(*plugins: Plugin, size: tuple[int, int] = (128, 128), kind: Kind = "sd", **fields: Any) -> Stage:
    plan = tiny_plan(plugins, kind, size=size, **fields)
    stage: Stage = plan.stages[-1]
    stage.model = tiny_model(kind)
    return stage


class Kept(Plugin):
    """Keeps what the model is shown of the dilated samples, and what comes of its prediction."""

    shown: Any
    answered: Any

    @hookimpl(wrapper=True)
    def noise_prediction(self, patches: Patches) -> Any:
        before = patches.latents
        prediction = yield
        if patches.kind == KIND:
            assert patches.latents is before
            self.shown.append(before)
            self.answered.append(prediction)
        return prediction


class Model(Plugin):
    """In place of the model: the latents as they are shown, one value a sample, or an error."""

    how: str = "same"

    @hookimpl
    def noise_prediction(self, patches: Patches) -> Tensor:
        if self.how == "fails":
            raise ArithmeticError("no luck")
        if self.how == "same":
            return patches.latents.clone()
        numbers = torch.arange(float(len(patches.views)))
        return numbers.view(-1, 1, 1, 1).expand_as(patches.latents).clone()


def shown_and_answered(how: str, dilated: DilatedSampling, **fields: Any) -> tuple[Tensor, Tensor, Tensor]:
    """In the first step: the samples of the canvas, those that the model is shown, and what is answered, undone."""
    inner: Any = {"shown": [], "answered": []}
    outer: Any = {"shown": [], "answered": []}
    plan = tiny_plan([Model(how=how), Kept(**inner), dilated, Kept(**outer)], **{"size": (128, 128), **fields})
    execute_tiny(plan)
    return outer["shown"][0], inner["shown"][0], outer["answered"][0]


# The samples


@pytest.mark.parametrize("dilation", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("canvas", CANVASES)
def test_the_samples_cover_each_pixel_once(canvas: tuple[int, int], dilation: int) -> None:
    views = dilated_views(canvas, dilation)
    assert len(views) == dilation**2
    assert {view[2:5] for view in views} == {(-(-canvas[0] // dilation), -(-canvas[1] // dilation), dilation)}
    seen = Counter(
        (view.top + dilation * row, view.left + dilation * column)
        for view in views
        for row in range(view.height)
        for column in range(view.width)
    )
    assert set(seen.values()) == {1}
    assert {place for place in seen if min(place) >= 0} == {
        (row, column) for row in range(canvas[0]) for column in range(canvas[1])
    }


def test_where_the_samples_begin() -> None:
    assert dilated_views((4, 6), 2) == (
        View(0, 0, 2, 3, 2),
        View(0, 1, 2, 3, 2),
        View(1, 0, 2, 3, 2),
        View(1, 1, 2, 3, 2),
    )
    assert [view[:2] for view in dilated_views((3, 6), 2)] == [(-1, 0), (-1, 1), (0, 0), (0, 1)]


@pytest.mark.parametrize("dilation", [1, 2, 3, 4])
@pytest.mark.parametrize("canvas", CANVASES)
def test_samples_and_canvas_are_two_forms_of_one(canvas: tuple[int, int], dilation: int) -> None:
    latents = normal(1, 4, *canvas)
    views = dilated_views(canvas, dilation)
    samples = gather(latents, views)
    assert float(samples.abs().sum()) == pytest.approx(float(latents.abs().sum()), rel=1e-5)
    assert scatter(samples, views, torch.zeros_like(latents)).equal(latents)


@pytest.mark.parametrize(
    ("size", "times"), [((64, 64), 1), ((40, 64), 1), ((72, 64), 2), ((128, 128), 2), ((136, 64), 3)]
)
def test_how_often_the_window_fits(size: tuple[int, int], times: int) -> None:
    assert times_larger(stage_of(size=size)) == times
    assert times_larger(stage_of(size=size[::-1])) == times


def test_how_often_a_window_of_two_sides_fits() -> None:
    assert times_larger(stage_of(size=(256, 128), window=(128, 32))) == 4


# The filter


@pytest.mark.parametrize(("size", "sigma"), [(1, 0.5), (3, 0.8), (5, 0.8), (7, 3.0)])
def test_the_filter_is_a_mean(size: int, sigma: float) -> None:
    reach = size // 2
    smooth = gaussian_filter(torch.full((1, 3, 20, 22), 0.7), size, sigma)
    assert smooth.shape == (1, 3, 20, 22)
    inside = smooth[..., reach : 20 - reach, reach : 22 - reach]
    assert float((inside - 0.7).abs().max()) < 1e-6
    impulse = torch.zeros(1, 2, 15, 15)
    impulse[0, 1, 7, 7] = 1
    kernel = gaussian_filter(impulse, size, sigma)
    assert float(kernel[0, 0].abs().max()) == 0, "channels do not mix"
    assert float(kernel[0, 1].sum()) == pytest.approx(1, abs=1e-6)
    line = kernel[0, 1].sum(0)
    assert float((kernel[0, 1] - line[:, None] * line[None]).abs().max()) < 1e-7
    assert float(line[7] / line[7 - reach]) == pytest.approx(float(torch.exp(torch.tensor(0.5 * (reach / sigma) ** 2))))
    assert int((line > 0).sum()) == size


@pytest.mark.parametrize("size", [(128, 128), (192, 192), (200, 136), (144, 72)])
def test_the_smoothed_samples_have_the_canvas_mean_and_deviation(size: tuple[int, int]) -> None:
    stage = stage_of(size=size)
    views = dilated_views(stage.canvas, times_larger(stage))
    latents = 2 * normal(*stage.shape) + 0.5
    plugin = DilatedSampling(sigma=1.5)
    smooth = scatter(plugin._smoothed(stage, stage.steps[0], gather(latents, views)), views, torch.zeros_like(latents))
    assert float(smooth.mean()) == pytest.approx(float(latents.mean()), abs=1e-4)
    assert float(smooth.std()) == pytest.approx(float(latents.std()), abs=1e-4)
    # Neighbours are alike as they were not before.
    roughness = [float((each[..., 1:] - each[..., :-1]).square().mean()) for each in (smooth, latents)]
    assert roughness[0] < 0.6 * roughness[1]


def test_the_filter_narrows_to_a_hundredth() -> None:
    stage = stage_of(DilatedSampling(), steps=10, scheduler="ddim")
    samples = gather(normal(*stage.shape), dilated_views(stage.canvas, 2))
    change = [
        float((DilatedSampling(sigma=2.0, sigma_exponent=3.0)._smoothed(stage, at, samples) - samples).abs().mean())
        for at in stage.steps
    ]
    assert change == sorted(change, reverse=True)
    assert change[0] > 0.5
    assert change[-1] < 1e-4


def test_what_the_model_is_shown() -> None:
    for gaussian_filter_on in (True, False):
        plugin = DilatedSampling(window_interaction=False, gaussian_filter=gaussian_filter_on)
        samples, shown, _ = shown_and_answered("same", plugin)
        assert shown.equal(samples) is not gaussian_filter_on
        if gaussian_filter_on:
            stage = stage_of()
            assert shown.equal(plugin._smoothed(stage, stage.steps[0], samples))


# Window interaction


@pytest.mark.parametrize("size", [(128, 128), (200, 136)])
def test_the_samples_exchange_pixels_of_one_place_and_channel_and_get_them_back(size: tuple[int, int]) -> None:
    samples, shown, answered = shown_and_answered("same", DilatedSampling(gaussian_filter=False), size=size)
    assert answered.equal(samples), "a prediction of the very latents must come back where they belong"
    assert not shown.equal(samples)
    assert shown.sort(0).values.equal(samples.sort(0).values)
    moved = (shown != samples)[..., 1:, 1:].float().mean()  # at the first ones there may be zeros from over the border
    assert float(moved) == pytest.approx(1 - 1 / len(samples), abs=0.1)


def test_a_prediction_is_spread_over_the_samples() -> None:
    samples, _, answered = shown_and_answered("numbers", DilatedSampling())
    assert set(answered.unique().tolist()) == {0.0, 1.0, 2.0, 3.0}
    assert bool((answered.sort(0).values == torch.arange(4.0).view(-1, 1, 1, 1)).all())
    shares = torch.stack([(answered == number).float().mean(dim=(1, 2, 3)) for number in range(4)])
    assert float((shares - 0.25).abs().max()) < 0.1
    without = shown_and_answered("numbers", DilatedSampling(window_interaction=False))[2]
    assert without.equal(torch.arange(4.0).view(-1, 1, 1, 1).expand_as(without))
    assert samples.shape == answered.shape


def test_the_permutation_depends_on_seed_stage_and_step_alone() -> None:
    plugin = DilatedSampling()
    shape = (4, 4, 8, 8)
    stage = stage_of()
    order = plugin.permutation(stage, stage.steps[0], shape)
    assert order.sort(0).values.equal(torch.arange(4).view(-1, 1, 1, 1).expand(shape))
    others = [
        (stage_of(batch_size=1, prompt="the sea"), 0),
        (stage_of(ProgressiveUpscaling(stages=[2]), size=(192, 192)), 0),
        (stage_of(seed=1), 0),
        (stage, 1),
    ]
    same = [order.equal(DilatedSampling().permutation(each, each.steps[at], shape)) for each, at in others]
    assert same == [True, False, False, False]


# Shares


def groups_of(plugin: DilatedSampling, **fields: Any) -> list[Sequence[Patches]]:
    fields = {"steps": 10, "scheduler": "ddim", "size": (128, 128), **fields}
    plan = tiny_plan([MultiDiffusion(stride=32), plugin], **fields)
    (stage,) = plan.stages
    return [plan.hooks.ask("views", stage=stage, at=at) for at in stage.steps]


def test_the_windows_weigh_1_minus_c2_and_the_samples_c2() -> None:
    stage = stage_of(steps=10, scheduler="ddim")
    for at, (windows, dilated) in zip(stage.steps, groups_of(DilatedSampling(weight_exponent=2.0)), strict=True):
        c2 = cosine(stage, at, 2.0)
        assert (windows.kind, dilated.kind) == ("window", "dilated")
        assert (windows.share, dilated.share) == pytest.approx((1 - c2, c2))
        assert (len(windows.views), dilated.views) == (9, dilated_views((16, 16), 2))


def test_what_weighs_less_than_skip_below_is_left_out() -> None:
    stage = stage_of(steps=10, scheduler="ddim")
    for at, groups in zip(stage.steps, groups_of(DilatedSampling(skip_below=0.1)), strict=True):
        c2 = cosine(stage, at)
        kinds = ["window"] * (1 - c2 > 0.1) + ["dilated"] * (c2 > 0.1)
        assert [patches.kind for patches in groups] == kinds
    # t is 901, 801, ... 1: below 0.1 while t/T is above 0.795 or below 0.205.
    counted = Counter(
        kind for groups in groups_of(DilatedSampling(skip_below=0.1)) for kind in {p.kind for p in groups}
    )
    assert counted == {"window": 8, "dilated": 7}


def test_forward_passes_of_the_steps_that_are_left() -> None:
    fields: Any = {"steps": 10, "scheduler": "ddim", "guidance_scale": 4.0, "size": (128, 128)}
    for skip_below, views in ((0.0, 10 * 9 + 10 * 4), (0.1, 8 * 9 + 7 * 4)):
        plugins = [MultiDiffusion(stride=32), DilatedSampling(skip_below=skip_below)]
        assert list(tiny_plan(plugins, **fields).views) == [views]
        fusion = Fusion.from_pipe(tiny_pipeline(), plugins=plugins, **fields)
        assert fusion("a hill", progress=False).forward_passes == 2 * views


def test_nothing_that_weighs_something_is_skipped_by_default() -> None:
    fields: Any = {"steps": 6, "scheduler": "edm-euler", "size": (128, 128)}
    # There the first step is pure noise, so that windows weigh nothing: leaving them out changes nothing.
    assert [[patches.kind for patches in groups] for groups in groups_of(DilatedSampling(), **fields)] == [
        ["dilated"],
        *[["window", "dilated"]] * 5,
    ]

    class All(DilatedSampling):
        """Leaves nothing out."""

        @hookimpl(wrapper=True)
        def views(self, stage: Stage, at: Step) -> Any:
            (windows,) = yield
            c2 = cosine(stage, at)
            return [replace(windows, share=1 - c2), Patches(dilated_views(stage.canvas, 2), KIND, share=c2)]

    some, others = (tiny_run([MultiDiffusion(stride=32), kind()], **fields) for kind in (DilatedSampling, All))
    assert float((some - others).abs().max()) < rounding(some, passes=4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(64, 64), (64, 40)])
def test_nothing_is_added_on_a_canvas_no_larger_than_the_window(kind: Kind, size: tuple[int, int]) -> None:
    assert tiny_run([DilatedSampling()], kind, size=size).equal(tiny_run([], kind, size=size))


# With others


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(128, 128), (136, 200)])
def test_in_one_stage_without_upscaling(kind: Kind, size: tuple[int, int]) -> None:
    latents = tiny_run([DilatedSampling()], kind, size=size, steps=2)
    assert bool(latents.isfinite().all())
    assert float((latents - tiny_run([], kind, size=size, steps=2)).abs().max()) > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_with_every_plugin_of_fusion(kind: Kind) -> None:
    fields: Any = {"size": (136, 72), "scheduler": "ddpm", "steps": 3}
    plugins = [
        StyleAlignment(alpha=0.4),
        MultiDiffusion(stride=32, jitter=8),
        DilatedSampling(),
        GuidedFusion(),
        VarianceCorrectedFusion(),
    ]
    plan = tiny_plan(plugins, kind, **fields)
    (stage,) = plan.stages
    assert check_coverage(stage, plan.hooks) == (plan.views[0], plan.passes[0])
    latents = execute_tiny(plan, kind)
    assert bool(latents.isfinite().all())
    without = tiny_run([each for each in plugins if not isinstance(each, DilatedSampling)], kind, **fields)
    assert float((latents - without).abs().max()) > 0.1


def test_the_corrected_noise_of_windows_and_samples_has_variance_1() -> None:
    plan = tiny_plan([MultiDiffusion(stride=32), DilatedSampling(), VarianceCorrectedFusion()], size=(136, 72))
    (stage,) = plan.stages
    at, powers = stage.steps[1], []
    for seed in range(150):
        each = replace(stage, recipe=stage.recipe.model_copy(update={"seed": seed}))
        groups = [replace(group) for group in plan.hooks.ask("views", stage=each, at=at)]
        assert [group.kind for group in groups] == ["window", "dilated"]
        for group in groups:
            group.latents = group.prediction = torch.zeros(len(group.views), 4, *group.size)
        powers.append(plan.hooks.ask("fuse", stage=each, at=at, groups=groups).noise.square())
    assert float(torch.cat(powers).mean()) == pytest.approx(1, abs=0.02)
    assert float((torch.cat(powers).mean(dim=(0, 1)) - 1).abs().max()) < 0.35


def test_plugins_before_it_see_what_the_model_sees_and_those_after_it_the_canvas() -> None:
    inner: Any = {"shown": [], "answered": []}
    outer: Any = {"shown": [], "answered": []}
    plan = tiny_plan([Kept(**inner), DilatedSampling(), Kept(**outer)], size=(128, 128), scheduler="ddim")
    (stage,) = plan.stages
    execute_tiny(plan)
    plugin = DilatedSampling()
    assert len(inner["shown"]) == len(outer["shown"]) == len(stage.steps)
    for number, at in enumerate(stage.steps):
        samples, shown = outer["shown"][number], inner["shown"][number]
        order = plugin.permutation(stage, at, samples.shape)
        assert shown.equal(plugin._smoothed(stage, at, samples).gather(0, order))
        undone = torch.zeros_like(samples).scatter(0, order, inner["answered"][number])
        assert outer["answered"][number].equal(undone)


class Watching(Plugin):
    """Keeps the latents of a group whose prediction fails."""

    left: Any

    @hookimpl(wrapper=True)
    def noise_prediction(self, patches: Patches) -> Any:
        before = patches.latents
        try:
            return (yield)
        except PluginError:
            self.left.append(patches.latents is before)
            raise


@pytest.mark.parametrize("options", [{}, {"window_interaction": False}])
def test_a_failing_model_is_named_and_nothing_is_left_behind(options: Any) -> None:
    class OnlyDilated(Plugin):
        """No windows, so that the samples are the first to fail."""

        @hookimpl(wrapper=True)
        def views(self) -> Any:
            groups = yield
            return [patches for patches in groups if patches.kind == KIND]

    left: list[bool] = []
    plugins = [Model(how="fails"), DilatedSampling(**options), OnlyDilated(), Watching(left=left)]
    plan = tiny_plan(plugins, size=(128, 128))
    with pytest.raises(PluginError, match="plugin 'model' failed in hook 'noise_prediction': ArithmeticError: no luck"):
        execute(plan, tiny_model())
    assert left == [True]
    assert plan.stages[0].memory == {}


def test_it_keeps_nothing_between_runs() -> None:
    plugin = DilatedSampling()
    plan = tiny_plan([plugin], size=(128, 128), steps=2)
    (stage,) = plan.stages
    stage.model = tiny_model()
    some = denoise(stage, plan.hooks)
    tiny_run([plugin], size=(200, 136), steps=1, seed=3)
    assert stage.memory == {}
    assert tiny_run([plugin], size=(128, 128), steps=2).equal(some)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"sigma": 0}, "'sigma' of dilated-sampling must be more than 0, not 0"),
        ({"sigma-exponent": -1}, "'sigma-exponent' of dilated-sampling must be more than 0, not -1"),
        ({"weight-exponent": 0}, "'weight-exponent' of dilated-sampling must be more than 0, not 0"),
        ({"skip-below": 0.5}, "'skip-below' of dilated-sampling must be less than 0.5, not 0.5"),
        ({"skip-below": -0.1}, "'skip-below' of dilated-sampling must be at least 0, not -0.1"),
        ({"skip-below": True}, "'skip-below' of dilated-sampling must be a number, not true"),
        (
            {"window-interaction": "often"},
            "'window-interaction' of dilated-sampling must be true or false, not 'often'",
        ),
        ({"window-interactoin": True}, "dilated-sampling has no option 'window-interactoin'; did you mean"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line(options: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError) as error:
        DilatedSampling.model_validate(options)
    (found,) = problems_of(error.value, DilatedSampling, "dilated-sampling")
    assert found.startswith(line)
