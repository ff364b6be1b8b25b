"""Re-dilation, dispersion, damped guidance and attention scaling: which layers, how far, when, and what is refused."""

from __future__ import annotations

import copy
from collections.abc import Generator
from dataclasses import replace
from math import log
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from fusionkit import Control, ModelInfo, Patches, Plugin, PluginError, RecipeError, Stage, Step, hookimpl
from fusionkit.layers import by_level, by_pattern, is_active, times_larger
from fusionkit.models.inspect import inspect_model
from fusionkit.models.load import wrap_pipeline
from fusionkit.runs.run import execute, prepare
from fusionkit.testing import KINDS, Kind, tiny_controlnet, tiny_pipeline, tiny_plan, tiny_run
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_scalecrafter import AttentionScaling, Dispersion, NoiseDampedGuidance, ReDilation
from fusionkit_scalecrafter.attention_scaling import attention_factor
from fusionkit_scalecrafter.convolution import re_dilated
from fusionkit_scalecrafter.dispersed_kernels import dispersed, matrix
from fusionkit_scalecrafter.re_dilation import progressed

WHOLE = (128, 128)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def step(index: int, total: int = 5) -> Step:
    return Step(index, total, torch.tensor(0))


def large(plugins: list[Plugin], **fields: Any) -> Tensor:
    """A run of twice the model's side in one view."""
    return tiny_run(plugins, **{"size": WHOLE, "window": WHOLE, **fields})


@pytest.fixture(scope="module")
def sd() -> ModelInfo:
    return inspect_model("tinyworld/scenes")


def test_a_whole_factor_is_a_dilation_and_1_is_nothing() -> None:
    x, weight, bias = draw(2, 3, 9, 12), draw(4, 3, 3, 3), draw(4)
    for factor in (1, 2, 3):
        found = re_dilated(factor, F.conv2d, x, weight, bias, (1, 1), (1, 1), (1, 1), 1)
        assert found.equal(F.conv2d(x, weight, bias, 1, factor, factor))


def test_a_fractional_factor_stretches_and_brings_back() -> None:
    x, weight = draw(1, 3, 10, 14), draw(4, 3, 3, 3)
    # 1.5 = 2 / (4 / 3): 10 rows become round(13.33), 14 columns round(18.67).
    stretched = F.interpolate(x, size=(13, 19), mode="bilinear", align_corners=False)
    for stride, size in ((1, (10, 14)), (2, (5, 7))):
        wide = F.conv2d(stretched, weight, None, stride, 2, 2)
        expected = F.interpolate(wide, size=size, mode="bilinear", align_corners=False)
        assert re_dilated(1.5, F.conv2d, x, weight, None, (stride, stride), (1, 1), (1, 1), 1).equal(expected)


def test_what_is_constant_stays_so_whatever_the_factor() -> None:
    weight = draw(1, 1, 3, 3)
    x = torch.ones(1, 1, 40, 40)
    for factor in (1.25, 2.0, 2.5, 3.7):
        found = re_dilated(factor, F.conv2d, x, weight, None, (1, 1), (1, 1), (1, 1), 1)
        assert float((found[..., 10:30, 10:30] - weight.sum()).abs().max()) < 1e-5


def test_a_wide_kernel_is_spread_by_half_the_factor() -> None:
    x, weight = draw(1, 3, 12, 12), draw(4, 3, 5, 5)
    assert re_dilated(4, F.conv2d, x, weight, None, (1, 1), (2, 2), (1, 1), 1).equal(F.conv2d(x, weight, None, 1, 4, 2))
    assert re_dilated(2, F.conv2d, x, weight, None, (1, 1), (2, 2), (1, 1), 1).equal(F.conv2d(x, weight, None, 1, 2, 1))


def test_a_dispersed_kernel_does_to_an_enlarged_picture_what_the_kernel_does() -> None:
    assert matrix().shape == (25, 9)
    # It is the minimum: no other matrix near it does better.
    weights, pictures = torch.eye(9).reshape(9, 1, 3, 3).double(), draw(40, 1, 3, 3).double()

    def up(x: Tensor) -> Tensor:
        return F.interpolate(x, size=(5, 5), mode="bilinear", align_corners=True)

    def apart(wide: Tensor) -> float:
        kernels = (weights.flatten(1) @ wide.T).reshape(9, 1, 5, 5)
        large = F.conv2d(up(pictures), kernels, padding=2) - up(F.conv2d(pictures, weights, padding=1))
        small = F.conv2d(pictures, kernels, padding=2) - F.conv2d(pictures, weights, padding=1)
        return float(large.square().sum() + 0.05**2 * small.square().sum())

    best = apart(matrix())
    # Of basis pictures it is exactly the least; of any others nearly.
    assert all(apart(matrix() + 0.05 * draw(25, 9, seed=seed).double()) > best for seed in range(5))
    assert best < apart(F.pad(torch.eye(9).double().reshape(3, 3, 9), (0, 0, 1, 1, 1, 1)).reshape(25, 9)) / 5


def test_the_dispersion_matrix_keeps_symmetries_and_sums() -> None:
    weight = draw(2, 3, 3, 3)
    wide = dispersed(weight)
    assert wide.shape == (2, 3, 5, 5)
    assert float((dispersed(weight.flip(-1)) - wide.flip(-1)).abs().max()) < 1e-5
    assert float((dispersed(weight.mT) - wide.mT).abs().max()) < 1e-5
    assert dispersed(wide) is wide
    # Values that the published kernels have in its first column: of a kernel whose first pixel alone is 1.
    assert float(matrix()[:, 4].sum()) == pytest.approx(1, abs=0.2)


def test_levels_are_counted_from_the_innermost(sd: ModelInfo) -> None:
    levels = len(sd.block_out_channels)
    assert levels == 3
    found = by_level(sd, [4, 2.5])
    assert found["mid_block.resnets.1.conv2"] == found["down_blocks.2.resnets.0.conv1"] == 4
    assert found["up_blocks.0.upsamplers.0.conv"] == 4
    assert found["down_blocks.1.downsamplers.0.conv"] == found["up_blocks.1.resnets.0.conv1"] == 2.5
    assert not any(layer.startswith(("down_blocks.0", "up_blocks.2")) for layer in found)
    assert by_level(sd, [1, 1, 1]) == {}
    assert set(by_level(sd, [2, 2, 2])) == set(sd.convolutions)


def test_of_several_patterns_the_last_one_counts(sd: ModelInfo) -> None:
    found = by_pattern(sd, {"mid_block.*": 3, "*.conv2": 2, "up_blocks.*": 1})
    assert found["mid_block.resnets.0.conv1"] == 3
    assert found["mid_block.resnets.0.conv2"] == found["down_blocks.0.resnets.0.conv2"] == 2
    assert not any(layer.startswith("up_blocks") for layer in found)


def test_factors_and_their_schedule() -> None:
    assert [progressed(4, step(index), 0.8) for index in range(4)] == [4, 3, 2, 2]
    assert [progressed(2.5, step(index), 1) for index in range(5)] == [3, 2, 2, 2, 2]
    assert [is_active(step(index, 10), 0.7) for index in range(10)] == [True] * 7 + [False] * 3
    assert not any(is_active(step(index), 0) for index in range(5))


def test_auto_is_the_longer_ratio_to_the_window(sd: ModelInfo) -> None:
    assert sd.window == (64, 64)
    side = 64 // sd.factor
    assert times_larger(sd, (side, side * 5 // 2)) == 2.5
    assert times_larger(sd, (side * 3, side)) == 3
    assert times_larger(sd, (side // 2, side)) == 1


@pytest.mark.parametrize("plugin", [ReDilation, AttentionScaling])
def test_views_of_the_models_size_stay_as_they_are_and_larger_ones_do_not(plugin: Any) -> None:
    assert tiny_run([plugin()], size=(160, 80)).equal(tiny_run(size=(160, 80)))
    assert not large([plugin()]).equal(large([]))
    assert large([plugin(until=0)]).equal(large([]))


def test_re_dilation_by_factor_levels_and_layers_is_one_thing() -> None:
    auto = large([ReDilation()])
    assert large([ReDilation(factor=2)]).equal(auto)
    assert large([ReDilation(levels=[2])]).equal(auto)  # of two levels the innermost
    layers = {"mid_block.*": 2, "down_blocks.1.*": 2, "up_blocks.0.*": 2}
    assert large([ReDilation(layers=layers)]).equal(auto)
    assert not large([ReDilation(levels=[2, 2])]).equal(auto)


def test_dispersion_goes_before_re_dilation_in_either_order() -> None:
    plugins = [Dispersion(), ReDilation(factor=4)]
    found, alone = large(plugins), large([Dispersion()])
    assert large(plugins[::-1]).equal(found)
    assert not found.equal(large([ReDilation(factor=4)]))
    assert not found.equal(alone)
    # At twice the side it does by itself what is to be done at this level, which is the only one that is spread.
    assert large([Dispersion(), ReDilation()]).equal(alone)
    assert tiny_run([Dispersion()], size=(96, 96), window=(96, 96)).equal(tiny_run(size=(96, 96), window=(96, 96)))


def test_damped_guidance_by_equal_factors_is_plain_guidance() -> None:
    plain = large([ReDilation()])
    same = large([ReDilation(), NoiseDampedGuidance(levels=[2])])
    assert float((same - plain).abs().max()) < 1e-4
    assert float((large([ReDilation(), NoiseDampedGuidance(levels=[1])]) - plain).abs().max()) > 1e-3
    assert large([ReDilation(), NoiseDampedGuidance()], guidance_scale=1).equal(large([ReDilation()], guidance_scale=1))


def test_damped_guidance_costs_a_third_pass_while_it_lasts() -> None:
    plan = tiny_plan([ReDilation(), NoiseDampedGuidance(until=0.34)], size=WHOLE, window=WHOLE)
    assert plan.forward_passes == 3 + 2 + 2


def test_scaled_attention_is_as_sharp_over_more_tokens() -> None:
    assert attention_factor(1024, 4) == pytest.approx((log(1024) / log(256)) ** 0.5)
    assert attention_factor(256, 1) == 1
    assert attention_factor(144, 0.5625) < 1
    assert attention_factor(1, 4) == 1
    assert attention_factor(4, 8) == pytest.approx(2**0.5)


def test_only_self_attention_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, set[float]] = {}
    original = F.scaled_dot_product_attention

    def watch(query: Tensor, key: Tensor, *rest: Any, **named: Any) -> Tensor:
        seen.setdefault(key.shape[2], set()).add(round(float(query.square().mean()), 4))
        return original(query, key, *rest, **named)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watch)
    large([], steps=1)
    plain = {tokens: set(values) for tokens, values in seen.items()}
    seen.clear()
    large([AttentionScaling()], steps=1)
    assert plain[256] != seen[256]
    ratio = min(seen[256]) / min(plain[256])
    assert ratio == pytest.approx(log(256) / log(64), rel=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_scaled_where_projections_are_fused(kind: Kind) -> None:
    apart = tiny_run([AttentionScaling()], kind, size=WHOLE, window=WHOLE, steps=2)
    pipe = copy.deepcopy(tiny_pipeline(kind))
    pipe.unet.fuse_qkv_projections()
    plan = tiny_plan([AttentionScaling()], kind, size=WHOLE, window=WHOLE, steps=2)
    together = execute(plan, wrap_pipeline(pipe))
    assert float((together - apart).abs().max()) < 1e-4
    plain = tiny_run([], kind, size=WHOLE, window=WHOLE, steps=2)
    assert float((together - plain).abs().max()) > 1e-2


class Steered(Plugin):
    """A ControlNet beside the denoiser, shown noise."""

    kind: str

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, patches: Patches) -> Generator[None, Tensor, Tensor]:
        width, height = stage.plan.size
        hint = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
        patches.controls = (Control(tiny_controlnet(self.kind), hint),)  # type: ignore[arg-type]
        try:
            return (yield)
        finally:
            patches.controls = ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("others", [[], [Dispersion(levels=2)], [NoiseDampedGuidance(levels=[1, 1.5])]])
def test_beside_a_controlnet_odd_sides_fit_in_either_order(kind: Kind, others: list[Plugin]) -> None:
    plugins: list[Plugin] = [ReDilation(levels=[2, 2]), *others]
    fields: dict[str, Any] = {"size": (136, 120), "window": (136, 120), "steps": 1}
    inside = tiny_run([Steered(kind=kind), *plugins], kind, **fields)
    assert tiny_run([*plugins, Steered(kind=kind)], kind, **fields).equal(inside)
    assert not tiny_run(plugins, kind, **fields).equal(inside)


def test_of_an_odd_side_the_smaller_half_is_answered_or_the_larger_one() -> None:
    x, weight = draw(1, 3, 9, 12), draw(4, 3, 3, 3)
    for whole, rows in ((False, 4), (True, 5)):
        for factor in (2, 1.5):
            found = re_dilated(factor, F.conv2d, x, weight, None, (2, 2), (1, 1), (1, 1), 1, whole=whole)
            assert found.shape[-2:] == (rows, 6)


@pytest.mark.parametrize(
    ("plugins", "problem"),
    [
        (
            [ReDilation(layers={"mid_block.resnet.*": 2})],
            r"^re-dilation: no 3x3 convolution is called 'mid_block.resnet.\*'",
        ),
        ([ReDilation(levels=[4, 3, 2])], r"^re-dilation: levels: 3 factors for the 2 levels of the denoiser$"),
        ([Dispersion(levels=3)], r"^dispersion: levels: 3 factors for the 2 levels"),
        ([Dispersion(layers=["conv_in"])], r"^dispersion: no 3x3 convolution is called 'conv_in'"),
        (
            [NoiseDampedGuidance()],
            r"^noise-damped-guidance: it damps the noise of re-dilation, which the recipe",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line_before_the_model_loads(plugins: list[Plugin], problem: str) -> None:
    with pytest.raises(RecipeError, match=problem) as caught:
        tiny_plan(plugins, size=WHOLE, window=WHOLE)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("plugin", [ReDilation(), Dispersion(), AttentionScaling()])
def test_a_transformer_is_one_line_before_it_loads(plugin: Plugin) -> None:
    plan = tiny_plan([plugin])
    info = replace(next(iter(plan.infos.values())), name="flux", convolutions=())
    with pytest.raises(
        RecipeError, match=f"^{plugin.plugin_name}: it changes layers of a UNet, and flux is a transformer"
    ):
        prepare(plan.recipe, info)


def test_models_that_are_fused_are_all_changed() -> None:
    blending = SaliencyNoiseBlending(models={"one": {}, "two": {"prompt": "a lake"}})
    fields: dict[str, Any] = {"models": ("one", "two"), "size": WHOLE, "window": WHOLE}
    without = tiny_run([blending], **fields)
    assert not tiny_run([blending, ReDilation()], **fields).equal(without)
    with pytest.raises(PluginError, match="'saliency-noise-blending' and 'noise-damped-guidance' both replace"):
        tiny_plan([blending, ReDilation(), NoiseDampedGuidance()], **fields)


@pytest.mark.parametrize(
    ("plugin", "options"),
    [
        (ReDilation, {"factor": 0.5}),
        (ReDilation, {"factor": "much"}),
        (ReDilation, {"factor": True}),
        (ReDilation, {"factor": 2, "levels": [2]}),
        (ReDilation, {"levels": [2], "layers": {"*": 2}}),
        (ReDilation, {"levels": []}),
        (ReDilation, {"until": 1.2}),
        (NoiseDampedGuidance, {"levels": [2], "layers": {"*": 2}}),
        (Dispersion, {"levels": 0}),
        (AttentionScaling, {"until": float("nan")}),
    ],
)
def test_options_that_make_no_sense_are_refused(plugin: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        plugin(**options)
