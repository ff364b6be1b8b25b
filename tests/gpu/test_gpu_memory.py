"""Where the weights are, and how many views go through at once: none of it changes the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from on_a_gpu import RUN, a_run, difference, fusion, latents

from fusionkit.bench.measure import peak_memory
from fusionkit.bench.passes import Passes
from fusionkit_multidiffusion import MultiDiffusion

pytestmark = pytest.mark.gpu


def devices(module: Any) -> set[str]:
    """The kinds of device that a module's weights are on."""
    return {each.device.type for each in module.parameters()}


@pytest.mark.parametrize("offload", ["model", "group", "sequential"])
@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_offload_draws_the_same_and_leaves_the_gpu(models: Path, gpu: str, kind: str, offload: str) -> None:
    drawing = fusion(models / kind, gpu, offload=offload)
    found = drawing(progress=False)
    model = drawing.models_for(found.recipe)["model"]
    assert model.device.type == "cuda"
    # Layer by layer, the weights wait on the CPU and stand on `meta` where they are used.
    assert devices(model.pipe.unet) == {"meta" if offload == "sequential" else "cpu"}
    assert difference(found.latents, latents(models / kind, gpu)) <= a_run(model.pipe.unet, found.latents.dtype)
    again = drawing(progress=False)
    assert again.latents.equal(found.latents)


def test_two_offloaded_models_take_turns(models: Path, gpu: str) -> None:
    from fusionkit_magicfusion import SaliencyNoiseBlending

    blending = SaliencyNoiseBlending(models={"one": {}, "other": {"prompt": "a tree"}})
    both = {"one": models / "sd", "other": models / "other-sd"}
    drawing = fusion(both, gpu, [blending], offload="model")
    found = drawing(progress=False)
    pipes = [model.pipe for model in drawing.models_for(found.recipe).values()]
    for pipe in pipes:
        assert devices(pipe.unet) == {"cpu"}
    # Weights that come anew lie elsewhere, and rounding may differ; a pixel at which both models want the same goes to
    # either by its last bits.
    expected = latents(both, gpu, [blending])
    near = (found.latents - expected).abs() <= a_run(pipes[0].unet, expected.dtype) * expected.abs().max()
    assert near.float().mean() > 0.99
    assert drawing(progress=False).latents.equal(found.latents)


@pytest.mark.parametrize(("asked", "expected"), [(None, {"cuda": 32, "cpu": 8}), (3, {"cuda": 3, "cpu": 3})])
def test_the_automatic_batch_size_fills_the_device(models: Path, device: str, asked: int | None, expected: Any) -> None:
    """Tiny views leave most of any memory free, so that as many as are ever tried go through at once."""
    drawing = fusion(models / "sd", device, [MultiDiffusion(stride=8)], size=(320, 64), batch_size=asked)
    loaded, passes = drawing.models_for(drawing.plan().recipe), Passes()
    with passes.noted(loaded):
        found = drawing(progress=False)
    assert passes.largest == 2 * expected["cpu" if device == "cpu" else "cuda"]  # both halves of guidance
    one = latents(models / "sd", device, [MultiDiffusion(stride=8)], size=(320, 64), batch_size=1)
    assert difference(found.latents, one) <= a_run(loaded["model"].pipe.unet, one.dtype)


def test_channels_last_draws_the_same(models: Path, device: str) -> None:
    import torch

    drawing = fusion(models / "sd", device, channels_last=True)
    found = drawing(progress=False)
    unet = drawing.models_for(found.recipe)["model"].pipe.unet
    assert unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert difference(found.latents, latents(models / "sd", device)) <= a_run(unet, found.latents.dtype)


def test_tiled_decoding_needs_less_memory(models: Path, gpu: str) -> None:
    import torch

    peaks = []
    for tiled in (False, True):
        drawing = fusion(models / "sd", gpu, vae_tiling=tiled)
        model = drawing.models_for(drawing.plan().recipe)["model"]
        canvas = torch.randn(1, 4, 128, 128, generator=torch.Generator().manual_seed(1))
        with peak_memory(gpu) as memory:
            assert model.decode(canvas).size == (1024, 1024)
        peaks.append(memory.growth)
    assert peaks[1] < 0.75 * peaks[0]


def test_the_share_of_the_passes_waits_for_the_gpu(models: Path, device: str) -> None:
    found = fusion(models / "sdxl", device)(progress=False)
    assert 0 < found.forward_share < 1
    assert found.denoising_seconds <= found.seconds
    assert found.recipe.steps == RUN["steps"]
