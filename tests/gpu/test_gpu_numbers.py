"""A GPU against the CPU: the same noise, the same latents within what the types allow, and overflow that is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from on_a_gpu import RUN, a_run, difference, fusion, latents, one_pass

from fusionkit import FusionError, Patches, Plugin, Stage, Step, hookimpl

pytestmark = pytest.mark.gpu
KINDS = ("sd", "sdxl")
TYPES = ("float32", "float16", "bfloat16")


class Asked(Plugin):
    """Keeps the answer to the first group of views."""

    answers: Any

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Any:
        """The pair, kept; and the guided answer."""
        pair = stage.model.predict_pair(stage, at, patches)
        self.answers.append([each.cpu() for each in pair])
        return pair[1]


def answers(model: Path, device: str, dtype: str) -> list[Any]:
    """Both halves of the first step's predictions."""
    kept: list[Any] = []
    latents(model, device, [Asked(answers=kept)], dtype=dtype, steps=1)
    return list(kept[0])


def unet_of(model: Path) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_pretrained(model / "unet")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", TYPES)
def test_a_prediction_is_the_cpus_within_rounding(models: Path, device: str, kind: str, dtype: str) -> None:
    import torch

    allowed = one_pass(unet_of(models / kind), getattr(torch, dtype))
    ours, theirs = answers(models / kind, device, dtype), answers(models / kind, "cpu", "float32")
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == torch.float32
        assert difference(one, other) <= allowed
    # What the prompt changes is larger than what is allowed in float32, so that a wrong half would be seen.
    assert difference(theirs[0], theirs[1]) > one_pass(unet_of(models / kind), torch.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", TYPES)
def test_a_run_is_the_cpus_within_rounding(models: Path, device: str, kind: str, dtype: str) -> None:
    import torch

    short = {"steps": 2, "guidance_scale": 1.5}
    allowed = a_run(unet_of(models / kind), getattr(torch, dtype), steps=2, guidance=1.5)
    expected = latents(models / kind, "cpu", **short)
    assert difference(latents(models / kind, device, dtype=dtype, **short), expected) <= allowed
    # Another start is another picture, by more than what is allowed even to bfloat16.
    assert difference(latents(models / kind, "cpu", seed=RUN["seed"] + 1, **short), expected) > max(1, 2 * allowed)


@pytest.mark.parametrize("scheduler", ["ddpm", "euler-a", "dpm++-2m"])
def test_stochastic_and_multistep_schedulers_step_alike(models: Path, device: str, scheduler: str) -> None:
    """Noise is drawn on the CPU, so that the device does not change it."""
    import torch

    allowed = a_run(unet_of(models / "sd"), torch.float32)
    ours, theirs = (latents(models / "sd", each, scheduler=scheduler) for each in (device, "cpu"))
    assert difference(ours, theirs) <= allowed


def test_tf32_convolutions_stay_within_tf32(models: Path, gpu: str) -> None:
    """What torch does by default: 10 bits, 2^13 times float32's eps."""
    import torch

    torch.backends.cudnn.allow_tf32 = True
    allowed = 2**13 * a_run(unet_of(models / "sd"), torch.float32)
    assert difference(latents(models / "sd", gpu), latents(models / "sd", "cpu")) <= allowed


def test_the_same_run_twice_is_the_same(models: Path, device: str) -> None:
    drawing = fusion(models / "sd", device)
    assert drawing(progress=False).latents.equal(drawing(progress=False).latents)


def test_a_picture_is_the_cpus_to_a_grey_level(models: Path, device: str) -> None:
    import numpy as np

    ours, theirs = (np.asarray(fusion(models / "sd", each)(progress=False).image, int) for each in (device, "cpu"))
    assert np.abs(ours - theirs).max() <= 1
    assert ours.std() > 1


@pytest.mark.parametrize("where", ["unet.conv_out", "vae.decoder.conv_out"])
def test_float16_overflow_ends_the_run(models: Path, device: str, tmp_path: Path, where: str) -> None:
    """A denoiser, or a decoder, whose answers are beyond float16 (65504), and well within float32."""
    import torch

    from fusionkit.models.load import load_pipeline

    pipe = load_pipeline(str(models / "sd"), "sd", dtype=torch.float32)
    with torch.no_grad():
        pipe_part = pipe
        for name in where.split("."):
            pipe_part = getattr(pipe_part, name)
        pipe_part.weight.mul_(1e8)
    pipe.save_pretrained(tmp_path / "loud")
    with pytest.raises(FusionError) as error:
        fusion(tmp_path / "loud", device, dtype="float16", guidance_scale=1.0)(progress=False)
    assert len(str(error.value).splitlines()) == 1
    assert "float16" in str(error.value)
