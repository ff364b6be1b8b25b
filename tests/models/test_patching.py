"""Patches on a denoiser's layers: what they change, and that everything is as before once they are off."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from peft import LoraConfig
from test_attention import patches_of, stage_of, state_of
from torch import Tensor, nn

from fusionkit import LayerPatch, ModelError, Patches, Stage
from fusionkit.models.inspect import info_of_pipeline, inspect_model
from fusionkit.testing import tiny_model, tiny_pipeline
from fusionkit.testing.tiny import KINDS, Kind

CONV = "mid_block.resnets.0.conv1"


def spread(
    conv2d: Any, x: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    """A convolution of dilation 2."""
    assert (stride, tuple(padding), dilation) == ((1, 1), (1, 1), (1, 1))
    answer: Tensor = conv2d(x, weight, bias, stride, 2, 2, groups)
    return answer


def wider(weight: Tensor) -> Tensor:
    """The same kernel with a border of 0.1."""
    return F.pad(weight, (1, 1, 1, 1), value=0.1)


@contextmanager
def on_its_own(kind: Kind, change: Any = None) -> Iterator[Any]:
    """The tiny model with a copy of its denoiser, changed by hand."""
    pipe = tiny_pipeline(kind)
    own, pipe.unet = pipe.unet, copy.deepcopy(pipe.unet)
    try:
        if change is not None:
            change(pipe.unet)
        yield tiny_model(kind)
    finally:
        pipe.unet = own


def predicted(stage: Stage, patches: Patches, model: Any, put: dict[str, LayerPatch] | None = None) -> Tensor:
    with model.patched(put or {}, "test"):
        answer: Tensor = model.predict(stage, stage.steps[0], patches)
    return answer


@pytest.mark.parametrize("kind", KINDS)
def test_a_patch_is_as_if_the_layer_were_made_so_and_is_off_afterwards(kind: Kind) -> None:
    stage = stage_of(kind)
    patches, unet = patches_of(stage), tiny_pipeline(kind).unet
    before, plain = state_of(unet), predicted(stage, patches, stage.model)
    found = predicted(stage, patches, stage.model, {CONV: LayerPatch(convolution=spread)})
    wide = predicted(stage, patches, stage.model, {CONV: LayerPatch(kernel=wider)})
    twice = predicted(
        stage,
        patches,
        stage.model,
        {CONV: LayerPatch(around=lambda forward, *given, **named: 2 * forward(*given, **named))},
    )
    assert state_of(unet) == before
    assert predicted(stage, patches, stage.model).equal(plain)

    def dilate(unet: Any) -> None:
        unet.get_submodule(CONV).dilation = unet.get_submodule(CONV).padding = (2, 2)

    def widen(unet: Any) -> None:
        layer = unet.get_submodule(CONV)
        layer.weight, layer.padding = nn.Parameter(wider(layer.weight), requires_grad=False), (2, 2)

    def double(unet: Any) -> None:
        for each in (unet.get_submodule(CONV).weight, unet.get_submodule(CONV).bias):
            each.data *= 2

    for change, ours in ((dilate, found), (widen, wide), (double, twice)):
        with torch.inference_mode(), on_its_own(kind, change) as model:
            assert float((predicted(stage, patches, model) - ours).abs().max()) < 1e-5
        assert float((ours - plain).abs().max()) > 1e-3


def test_kernels_come_before_convolutions_whoever_was_first() -> None:
    stage = stage_of("sd")
    patches, model = patches_of(stage), stage.model
    seen: list[tuple[int, int]] = []

    def look(conv2d: Any, x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        seen.append((weight.shape[-1], rest[2][0]))
        answer: Tensor = conv2d(x, weight, *rest)
        return answer

    kernel, convolution = {CONV: LayerPatch(kernel=wider)}, {CONV: LayerPatch(convolution=look)}
    with model.patched(kernel, "one"), model.patched(convolution, "two"):
        first = model.predict(stage, stage.steps[0], patches)
    with model.patched(convolution, "two"), model.patched(kernel, "one"):
        assert model.predict(stage, stage.steps[0], patches).equal(first)
    assert set(seen) == {(5, 2)}


def test_what_one_plugin_puts_on_takes_the_place_of_its_own_and_of_no_other() -> None:
    stage = stage_of("sd")
    patches, model = patches_of(stage), stage.model
    both = {CONV: LayerPatch(convolution=spread), "conv_in": LayerPatch(around=lambda forward, x: 2 * forward(x))}
    plain = predicted(stage, patches, model)
    alone = predicted(stage, patches, model, {"conv_in": both["conv_in"]})
    with model.patched(both, "one"):
        whole = model.predict(stage, stage.steps[0], patches)
        with model.patched({}, "one"):
            assert model.predict(stage, stage.steps[0], patches).equal(plain)
        with model.patched({"conv_in": both["conv_in"]}, "one"):
            assert model.predict(stage, stage.steps[0], patches).equal(alone)
        with model.patched({}, "two"):
            assert model.predict(stage, stage.steps[0], patches).equal(whole)


def test_nothing_is_left_after_an_error_within_a_layer_or_around_the_prediction() -> None:
    stage = stage_of("sd")
    patches, unet = patches_of(stage), tiny_pipeline("sd").unet
    before, plain = state_of(unet), predicted(stage, patches, stage.model)

    def fails(*given: Any) -> Tensor:
        raise KeyError("anything")

    with pytest.raises(KeyError):
        predicted(
            stage, patches, stage.model, {CONV: LayerPatch(convolution=fails), "conv_out": LayerPatch(around=fails)}
        )
    with pytest.raises(ValueError, match="else"), stage.model.patched({CONV: LayerPatch(around=fails)}, "test"):
        raise ValueError("else")
    assert state_of(unet) == before
    assert predicted(stage, patches, stage.model).equal(plain)


def test_another_adapter_of_the_same_denoiser_and_its_user_see_no_patch() -> None:
    stage = stage_of("sd")
    patches, other, unet = patches_of(stage), tiny_model("sd"), tiny_pipeline("sd").unet
    plain, before = predicted(stage, patches, other), state_of(unet)
    with stage.model.patched({CONV: LayerPatch(convolution=spread)}, "test"):
        assert state_of(unet) == before
        assert other.predict(stage, stage.steps[0], patches).equal(plain)


def test_a_lora_is_convolved_as_its_layer_is() -> None:
    stage = stage_of("sd")
    patches, put = patches_of(stage), {CONV: LayerPatch(convolution=spread)}
    without = predicted(stage, patches, stage.model, put)

    def add(unet: Any) -> None:
        with torch.inference_mode(False):
            unet.add_adapter(LoraConfig(r=2, target_modules=[CONV], init_lora_weights=False))

    with torch.random.fork_rng(devices=[]), on_its_own("sd", add) as model:
        kept = predicted(stage, patches, model, put)
        assert float((kept - without).abs().max()) > 1e-3
        tiny_pipeline("sd").unet.fuse_lora()
        merged = predicted(stage, patches, model, put)
    assert float((kept - merged).abs().max()) < 1e-4


def test_offloaded_and_compiled_layers_are_patched_too() -> None:
    from accelerate import cpu_offload

    stage = stage_of("sd")
    patches, put = patches_of(stage), {CONV: LayerPatch(convolution=spread)}
    expected = predicted(stage, patches, stage.model, put)
    # Weights away from their layer until it runs, as sequential offload has them.
    with on_its_own("sd", lambda unet: cpu_offload(unet, torch.device("cpu"))) as model:
        assert tiny_pipeline("sd").unet.get_submodule(CONV).weight.device.type == "meta"
        assert predicted(stage, patches, model, put).equal(expected)
    with on_its_own("sd", lambda unet: unet.compile()) as model:
        assert predicted(stage, patches, model, put).equal(expected)


def test_layers_that_are_not_there_are_one_line() -> None:
    stage = stage_of("sd")
    with pytest.raises(
        ModelError, match=r"^test: the denoiser of .* has no layer 'mid_block.resnet.0.conv1'; did you mean"
    ):
        predicted(stage, patches_of(stage), stage.model, {"mid_block.resnet.0.conv1": LayerPatch()})


@pytest.mark.parametrize("kind", KINDS)
def test_the_configuration_tells_the_convolutions_of_a_denoiser(kind: Kind) -> None:
    pipe = tiny_pipeline(kind)
    ends = "conv1", "conv2", "samplers.0.conv"
    real = [name for name, each in pipe.unet.named_modules() if isinstance(each, nn.Conv2d) and name.endswith(ends)]
    assert sorted(info_of_pipeline(pipe).convolutions) == sorted(real)
    assert list(tiny_model(kind).layers("*.downsamplers.0.conv")) == [each for each in real if "downsamplers" in each]
    assert (
        len(inspect_model("tinyworld/scenes").convolutions)
        == len(set(inspect_model("tinyworld/scenes").convolutions))
        > 20
    )


@pytest.mark.parametrize("kind", KINDS)
def test_either_half_alone_is_that_of_the_pair(kind: Kind) -> None:
    # The negative prompt is of more chunks, so that the halves have a length that neither prompt has by itself.
    stage = stage_of(kind, negative_prompt="a lake at noon, a lake at night")
    patches = patches_of(stage, ["a hill", "the sea at noon and at night"])
    pair = stage.model.predict_pair(stage, stage.steps[0], patches)
    for half, alone in enumerate((stage.model.predict_with, stage.model.predict_without)):
        passes = stage.model.forward_passes
        found = alone(stage, stage.steps[0], patches)
        assert stage.model.forward_passes - passes == len(patches.views)
        assert float((found - pair[half]).abs().max()) < 1e-5
        assert float((found - pair[1 - half]).abs().max()) > 1e-3
