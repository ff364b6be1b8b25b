"""FouriScale: what its filters keep, how far and when kernels are spread, its guidance, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from fusionkit import ModelInfo, Plugin, PluginError, RecipeError, Step
from fusionkit.models.inspect import inspect_model
from fusionkit.runs.run import prepare
from fusionkit.testing import KINDS, Kind, tiny_plan, tiny_run
from fusionkit_fouriscale import FouriScale, FouriScaleGuidance
from fusionkit_fouriscale.low_pass import Filter, filtered, filtered_dilation, kept, mask
from fusionkit_scalecrafter import NoiseDampedGuidance, ReDilation

# In features of fewer pixels than those of a view of three times the side there is nothing that a filter takes away.
WHOLE = (192, 192)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def step(index: int, total: int = 10) -> Step:
    return Step(index, total, torch.tensor(0))


def large(plugins: list[Plugin], kind: Kind = "sd", **fields: Any) -> Tensor:
    """A run of three times the model's side in one view."""
    return tiny_run(plugins, kind, **{"size": WHOLE, "window": WHOLE, "steps": 2, **fields})


@pytest.fixture(scope="module")
def sd() -> ModelInfo:
    return inspect_model("tinyworld/scenes")


def test_what_is_kept_falls_from_one_to_the_floor() -> None:
    # Of 16 frequencies and every second pixel: all up to 5 from the middle, and then down by halves.
    steep = kept(16, 2.0, weak=False, floor=0.0)
    assert steep.tolist() == [0, 0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0.5, 0]
    slow = kept(16, 2.0, weak=True, floor=0.0)
    assert slow.tolist() == [0.5, 0.75, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0.75, 0.5]
    assert kept(16, 2.0, weak=False, floor=0.6).tolist()[:3] == pytest.approx([0.6, 0.8, 1])
    for length, scale in ((15, 3.0), (9, 1.5), (1, 2.0)):
        odd = kept(length, scale, weak=False, floor=0.0)
        assert len(odd) == length
        assert odd[length // 2] == odd.max() == 1
    assert kept(16, 1.0, weak=True, floor=0.0).equal(torch.ones(16))


@pytest.mark.parametrize(("size", "base"), [((16, 16), (8.0, 8.0)), ((12, 20), (8.0, 8.0)), ((9, 11), (4.5, 4.5))])
@pytest.mark.parametrize("weak", [False, True])
def test_a_filter_is_what_the_whole_complex_transform_makes_of_it(
    size: tuple[int, int], base: tuple[float, float], weak: bool
) -> None:
    x, scales = draw(2, 3, *size), (2.0, 1.5)
    times = max(-(-size[0] // base[0]), -(-size[1] // base[1]))
    whole = int(base[0] * times), int(base[1] * times)
    spectrum = torch.fft.fft2(F.pad(x, (0, whole[1] - size[1], 0, whole[0] - size[0])))
    expected = torch.fft.ifft2(spectrum * mask(whole, scales, weak, 0.0)).real[..., : size[0], : size[1]]
    found = filtered(x, Filter(base, weak), scales)
    assert found.shape == x.shape
    assert float((found - expected).abs().max()) < 1e-5
    assert float((found - x).abs().max()) > 0.1


def test_coarse_waves_pass_and_fine_ones_do_not() -> None:
    rows = torch.arange(16.0).reshape(1, 1, 16, 1).expand(1, 1, 16, 16)
    coarse, fine = (torch.cos(2 * torch.pi * times * rows / 16) for times in (2, 7.999999))
    low_pass = Filter((8.0, 8.0))
    assert float((filtered(coarse, low_pass, (2.0, 2.0)) - coarse).abs().max()) < 1e-5
    assert float(filtered(fine, low_pass, (2.0, 2.0)).abs().max()) < 0.01
    half = filtered(coarse.half(), low_pass, (2.0, 2.0))
    assert half.dtype == torch.float16


def test_a_spread_kernel_gets_what_the_filter_leaves() -> None:
    x, weight, bias = draw(2, 3, 16, 16), draw(4, 3, 3, 3), draw(4)
    for stride, scale in ((1, 1.5), (2, 1.0)):
        call = partial(filtered_dilation, 1.5, Filter((8.0, 8.0)), 1.0, F.conv2d)
        found = call(x, weight, bias, (stride, stride), (1, 1), (1, 1), 1)
        seen = filtered(x, Filter((8.0, 8.0)), (scale, scale))
        assert found.equal(F.conv2d(seen, weight, bias, stride, 2, 2))
    plain = filtered_dilation(3.0, None, 1.5, F.conv2d, x, weight, bias, (1, 1), (1, 1), (1, 1), 1)
    assert plain.equal(F.conv2d(x, weight, bias, 1, 2, 2))
    wide = filtered_dilation(2.0, None, 1.0, F.conv2d, x, draw(4, 3, 5, 5), bias, (1, 1), (2, 2), (1, 1), 1)
    assert wide.equal(F.conv2d(x, draw(4, 3, 5, 5), bias, 1, 2, 1))


def test_how_far_kernels_are_spread(sd: ModelInfo) -> None:
    side = 64 // sd.factor

    def dilations(plugin: FouriScale, size: tuple[int, int]) -> list[float]:
        return [plugin.dilation_at(sd, step(index), size) for index in range(10)]

    twice = (2 * side, 2 * side)
    assert dilations(FouriScale(), twice) == [2, 2, 2, 1.75, 1.5, 1.25, 1, 1, 1, 1]
    assert dilations(FouriScale(progressive=False), twice) == [2] * 6 + [1] * 4
    assert dilations(FouriScale(start=0, until=0.2, dilation=3), twice)[:3] == [3, 2, 1]
    assert dilations(FouriScale(until=0.5, start=0.5), (side, 5 * side // 2))[:6] == [3] * 5 + [1]
    assert set(dilations(FouriScale(), (side, side))) == {1}
    # Of a wide view a wide size that the model draws well.
    assert FouriScale(base=(128, 64)).dilation_at(sd, step(0), (side, 2 * side)) == 1


def test_the_innermost_levels_are_changed_and_upsamplers_are_not_filtered(sd: ModelInfo) -> None:
    assert len(sd.block_out_channels) == 3
    size = (128 // sd.factor, 128 // sd.factor)
    put = FouriScale().put(sd, step(0), size)
    assert not any(layer.startswith(("down_blocks.0", "up_blocks.2")) for layer in put)
    filters = {layer: patch.convolution.args[1] for layer, patch in put.items() if patch.convolution is not None}  # type: ignore[attr-defined]
    side = 64 / sd.factor
    assert filters["up_blocks.1.upsamplers.0.conv"] is None
    assert filters["up_blocks.1.resnets.0.conv1"].base == (side / 2, side / 2)
    assert filters["mid_block.resnets.0.conv1"].base == (side / 4, side / 4)
    innermost = FouriScale(levels=1).put(sd, step(0), size)
    assert set(innermost) < set(put)
    assert not any(layer.startswith("down_blocks.1.resnets") for layer in innermost)
    assert list(FouriScale(layers=["mid_block.*.conv1"]).put(sd, step(0), size)) == [
        "mid_block.resnets.0.conv1",
        "mid_block.resnets.1.conv1",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_views_of_the_models_size_stay_as_they_are_and_larger_ones_do_not(kind: Kind) -> None:
    both = [FouriScale(), FouriScaleGuidance()]
    assert tiny_run(both, kind, steps=2).equal(tiny_run([], kind, steps=2))
    plain = large([], kind)
    assert large([FouriScale(until=0, start=0), FouriScaleGuidance()], kind).equal(plain)
    assert float((large([FouriScale()], kind) - plain).abs().max()) > 1e-3
    assert float((large(both, kind) - large([FouriScale()], kind)).abs().max()) > 1e-3


@pytest.mark.parametrize("size", [(264, 72), (216, 184)])
def test_odd_and_narrow_views_are_drawn(size: tuple[int, int]) -> None:
    plugins: list[Plugin] = [FouriScale(dilation=2.5, until=1, levels=2), FouriScaleGuidance()]
    found = large(plugins, size=size, window=size)
    assert tuple(found.shape) == (1, 4, size[1] // 8, size[0] // 8)
    assert bool(found.isfinite().all())


def test_without_filters_it_is_plain_dilation_and_plain_guidance() -> None:
    spread = FouriScale(floor=1, progressive=False)
    plain = large([ReDilation(factor=3)])
    assert float((large([spread]) - plain).abs().max()) < 1e-4
    # Where neither filter takes anything away, queries and keys are the view's own.
    assert float((large([spread, FouriScaleGuidance()]) - plain).abs().max()) < 1e-4
    unguided = large([FouriScale(), FouriScaleGuidance()], guidance_scale=1)
    assert unguided.equal(large([FouriScale()], guidance_scale=1))


def test_guidance_is_the_same_however_views_share_a_pass() -> None:
    fields: dict[str, Any] = {"size": (256, 192), "window": WHOLE, "steps": 1, "negative_prompt": "a lake, " * 5}
    plugins: list[Plugin] = [FouriScale(), FouriScaleGuidance()]
    one = tiny_run(plugins, batch_size=1, **fields)
    assert float((tiny_run(plugins, batch_size=3, **fields) - one).abs().max()) < 1e-4
    assert tiny_run(plugins, **fields).equal(one)


def test_guidance_costs_a_third_pass_while_kernels_are_spread() -> None:
    fields: dict[str, Any] = {"size": WHOLE, "window": WHOLE, "steps": 5}
    plan = tiny_plan([FouriScale(until=0.6, start=0.6), FouriScaleGuidance()], **fields)
    assert plan.forward_passes == 3 * 3 + 2 * 2


@pytest.mark.parametrize(
    ("plugins", "problem"),
    [
        (
            [FouriScale(layers=["mid_block.resnet.*"])],
            r"^fouriscale: no 3x3 convolution is called 'mid_block.resnet.\*'",
        ),
        ([FouriScale(levels=3)], r"^fouriscale: levels: 3 factors for the 2 levels of the denoiser$"),
        ([FouriScaleGuidance()], r"^fouriscale-guidance: it needs fouriscale, whose filters it weakens, and which"),
    ],
)
def test_what_makes_no_sense_is_one_line_before_the_model_loads(plugins: list[Plugin], problem: str) -> None:
    with pytest.raises(RecipeError, match=problem) as caught:
        tiny_plan(plugins, size=WHOLE, window=WHOLE)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("plugin", [FouriScale(), FouriScaleGuidance()])
def test_a_transformer_is_one_line_before_it_loads(plugin: Plugin) -> None:
    plan = tiny_plan([])
    recipe = plan.recipe.model_copy(update={"plugins": (plugin,)})
    info = replace(next(iter(plan.infos.values())), name="flux", convolutions=())
    with pytest.raises(
        RecipeError, match=f"^{plugin.plugin_name}: it changes layers of a UNet, and flux is a transformer"
    ):
        prepare(recipe, info)


def test_two_ways_to_guide_are_refused() -> None:
    both = [FouriScale(), ReDilation(), FouriScaleGuidance(), NoiseDampedGuidance()]
    with pytest.raises(PluginError, match="'fouriscale-guidance' and 'noise-damped-guidance' both replace"):
        tiny_plan(both, size=WHOLE, window=WHOLE)


@pytest.mark.parametrize(
    ("plugin", "options"),
    [
        (FouriScale, {"dilation": 0.5}),
        (FouriScale, {"start": 0.7}),
        (FouriScale, {"levels": 1, "layers": ["*"]}),
        (FouriScale, {"floor": 1.1}),
        (FouriScale, {"base": "large"}),
        (FouriScaleGuidance, {"weaker": 0.5}),
    ],
)
def test_options_that_make_no_sense_are_refused(plugin: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        plugin(**options)
