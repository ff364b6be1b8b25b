"""FreeScale: attention at two scales, kernels spread on the way in alone, and what models are told of sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from fusionkit import ModelInfo, Plugin, RecipeError, View
from fusionkit.layers import FeatureSize
from fusionkit.models.inspect import inspect_model
from fusionkit.runs.run import prepare
from fusionkit.testing import tiny_model, tiny_plan, tiny_run
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_freescale import RestrainedDilation, ScaleFusion, SizeConditioning
from fusionkit_freescale.fused_attention import blurred, fused, in_samples, in_windows
from fusionkit_freescale.restrained_dilation import covered
from fusionkit_scalecrafter import ReDilation

WHOLE = (128, 128)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def large(plugins: list[Plugin], **fields: Any) -> Tensor:
    """A run of twice the model's side in one view."""
    return tiny_run(plugins, **{"size": WHOLE, "window": WHOLE, "steps": 2, **fields})


def mean(features: Tensor) -> Tensor:
    """What stands in for attention: each place gets the mean of all."""
    return features.mean((1, 2), keepdim=True).expand_as(features)


def test_a_blur_is_a_gaussian_along_the_axes_that_are_named() -> None:
    impulse = torch.zeros(1, 7, 7, 5)
    impulse[0, 3, 3, 2] = 1
    line = torch.exp(-0.5 * torch.tensor([-1.0, 0.0, 1.0]) ** 2)
    line = line / line.sum()
    flat = blurred(impulse, 3, 1.0, (1, 2))
    assert float((flat[0, 2:5, 2:5, 2] - torch.outer(line, line)).abs().max()) < 1e-6
    assert float(flat.sum()) == pytest.approx(float(flat[0, 2:5, 2:5, 2].sum())) == pytest.approx(1)
    deep = blurred(impulse, 3, 1.0, (1, 2, 3))
    assert float((deep[0, 3, 3, 1:4] - line * line[1] ** 2).abs().max()) < 1e-6
    assert blurred(impulse, 1, 1.0, (1, 2)).equal(impulse)


def test_attention_in_windows_is_averaged_and_zeros_lie_beyond() -> None:
    features = draw(2, 5, 7, 3)
    views = [View(-1, 0, 4, 7), View(1, 0, 4, 7), View(2, 0, 4, 7)]
    for together in (1, 2, 9):
        same = in_windows(features, views, lambda each: each, together)
        assert float((same - features).abs().max()) < 1e-6
    found = in_windows(features, views, mean, 2)
    first, second, third = (features[:, a:b].sum((1, 2)) / 28 for a, b in ((0, 3), (1, 5), (2, 5)))
    assert float((found[:, 0, 3] - first).abs().max()) < 1e-6
    assert float((found[:, 1, 0] - (first + second) / 2).abs().max()) < 1e-6
    assert float((found[:, 4, 6] - (second + third) / 2).abs().max()) < 1e-6


def test_each_coarse_picture_attends_to_itself_at_odd_sizes_too() -> None:
    features = draw(2, 5, 7, 3)
    found = in_samples(features, (2, 3), mean)
    for row, column in ((0, 0), (1, 2)):
        part = features[:, row::2, column::3]
        assert float((found[:, row::2, column::3] - mean(part)).abs().max()) < 1e-6
    assert in_samples(features, (2, 3), lambda each: each).equal(features)


@pytest.mark.parametrize("fast_mode", [False, True])
def test_fused_scales_are_the_blurred_windows_and_the_detail_of_the_whole(fast_mode: bool) -> None:
    hidden, size = draw(2, 48, 3), FeatureSize()
    size.size = (6, 8)
    views = [View(0, 0, 6, 4), View(0, 4, 6, 4)]

    def attention(tokens: Tensor) -> Tensor:
        return tokens.mean(1, keepdim=True).expand_as(tokens)

    plugin = ScaleFusion(fast_mode=fast_mode)
    found = fused(plugin, size, lambda _: views, (1, 2), attention, hidden).unflatten(1, (6, 8))
    features = hidden.unflatten(1, (6, 8))
    local = torch.cat([mean(features[:, :, :4]), mean(features[:, :, 4:])], dim=2)
    whole = in_samples(features, (1, 2), mean) if fast_mode else mean(features)
    expected = blurred(local, 3, 1.0, (1, 2)) + whole - blurred(whole, 3, 1.0, (1, 2))
    assert float((found - expected).abs().max()) < 1e-5
    # Of attention that changes nothing, nothing is left of the scales.
    same = fused(plugin, size, lambda _: views, (1, 2), lambda tokens: tokens, hidden)
    assert float((same - hidden).abs().max()) < 1e-5


@pytest.mark.parametrize(("size", "times"), [((8, 16), (1.0, 2.0)), ((9, 13), (1.5, 2.2)), ((3, 2), (3.0, 2.0))])
def test_windows_have_the_models_extent_and_cover_all_features(
    size: tuple[int, int], times: tuple[float, float]
) -> None:
    plan = tiny_plan([])
    stage, (first, second, *_) = plan.stages[0], plan.stages[0].steps
    plugin = ScaleFusion(jitter=0.25)
    views = plugin.windows_in(stage, first, "model layer", times, size)
    assert {(view.height, view.width) for view in views} == {
        (max(1, round(size[0] / times[0])), max(1, round(size[1] / times[1])))
    }
    seen = torch.zeros(size)
    for view in views:
        seen[max(0, view.top) : view.top + view.height, max(0, view.left) : view.left + view.width] += 1
    assert seen.min() > 0
    assert views == plugin.windows_in(stage, first, "model layer", times, size)
    if size == (8, 16):
        others = [(second, "model layer"), (first, "model other")]
        assert all(plugin.windows_in(stage, at, layer, times, size) != views for at, layer in others)
        still = ScaleFusion(jitter=0).windows_in(stage, first, "model layer", times, size)
        assert [view.left for view in still] == [0, 4, 8]


def test_views_of_the_models_size_stay_as_they_are_and_larger_ones_do_not() -> None:
    plain = large([])
    for plugin in (RestrainedDilation(), ScaleFusion()):
        assert tiny_run([plugin], steps=2).equal(tiny_run([], steps=2))
        assert float((large([plugin]) - plain).abs().max()) > 1e-3
    assert not large([ScaleFusion(fast_mode=True)]).equal(large([ScaleFusion()]))
    assert not large([ScaleFusion(sigma=0.3)]).equal(large([ScaleFusion()]))
    # 1.5 times the side is no whole number of windows: attention has two, kernels are left alone.
    odd: dict[str, Any] = {"size": (88, 96), "window": (88, 96)}
    assert large([RestrainedDilation()], **odd).equal(large([], **odd))
    assert not large([ScaleFusion()], **odd).equal(large([], **odd))


def test_restrained_dilation_is_re_dilation_of_the_way_in() -> None:
    layers = {"down_blocks.0.downsamplers.*": 2, "down_blocks.1.*": 2, "mid_block.*": 2}
    assert large([RestrainedDilation(until=1)]).equal(large([ReDilation(layers=layers, until=1)]))
    sd: ModelInfo = inspect_model("tinyworld/scenes")
    found = covered(sd)
    assert found[0] == "down_blocks.1.downsamplers.0.conv"
    assert {layer.partition(".resnets")[0] for layer in found[1:]} == {"down_blocks.2", "mid_block"}


def test_sdxl_is_told_the_first_stages_size_and_of_sd_it_is_refused() -> None:
    plugins: list[Plugin] = [ProgressiveUpscaling(), SizeConditioning()]
    plan = tiny_plan(plugins, "sdxl", size=(128, 256))
    assert [(stage.plan.size, stage.told) for stage in plan.stages[1:]] == [
        ((64, 128), (32, 64)),
        ((96, 192), (32, 64)),
        ((128, 256), (32, 64)),
    ]
    model: Any = tiny_model("sdxl")
    embedding = model.embed("a hill")
    views = [View(16, 8, 8, 8), View(16, 8, 8, 4, 2)]
    conditions = model.conditions(plan.stages[-1], views, [embedding] * 2, 1.0)
    # A quarter of the picture's side in what is told: half way down, and half way across.
    assert conditions["added_cond_kwargs"]["time_ids"].tolist() == [[64, 32, 32, 16, 64, 32], [64, 32, 0, 0, 64, 32]]
    given = tiny_plan([SizeConditioning(size="96x64")], "sdxl", size=(128, 256))
    assert given.stages[0].told == (96, 64)
    assert SizeConditioning(size="96x64").options() == {"size": "96x64"}
    fields: dict[str, Any] = {"size": (96, 96), "steps": 1}
    with pytest.raises(RecipeError) as caught:
        tiny_plan([SizeConditioning(size="32x32")], **fields)
    assert caught.value.problems == [
        "size-conditioning: 'StableDiffusionPipeline' is told no picture's size, as SDXL is; it would change nothing, "
        "so leave it out"
    ]
    assert not tiny_run([SizeConditioning(size="32x32")], "sdxl", **fields).equal(tiny_run([], "sdxl", **fields))


@pytest.mark.parametrize("plugin", [RestrainedDilation(), ScaleFusion()])
def test_a_transformer_is_one_line_before_it_loads(plugin: Plugin) -> None:
    plan = tiny_plan([plugin])
    info = replace(next(iter(plan.infos.values())), name="flux", convolutions=())
    with pytest.raises(
        RecipeError, match=f"^{plugin.plugin_name}: it changes layers of a UNet, and flux is a transformer"
    ):
        prepare(plan.recipe, info)


@pytest.mark.parametrize(
    ("plugin", "options"),
    [
        (RestrainedDilation, {"factor": 0.5}),
        (RestrainedDilation, {"until": 2}),
        (ScaleFusion, {"jitter": 0.3}),
        (ScaleFusion, {"sigma": 0}),
        (SizeConditioning, {"size": "last"}),
        (SizeConditioning, {"size": 0}),
    ],
)
def test_options_that_make_no_sense_are_refused(plugin: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        plugin(**options)
