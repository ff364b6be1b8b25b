"""Methods on a GPU against the CPU: two models, a ControlNet, an upscaling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from on_a_gpu import a_run, difference, fusion, latents

from fusionkit import Plugin
from fusionkit.testing import tiny_pipeline
from fusionkit.testing.tiny_adapter import save_tiny_adapter
from fusionkit_accdiffusion import ControlNet, DilatedSampling, PatchContentPrompts, ProgressiveUpscaling
from fusionkit_gvcf import GuidedFusion, StyleAlignment, VarianceCorrectedFusion
from fusionkit_ipadapter import IPAdapter
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_multidiffusion import MultiDiffusion

pytestmark = pytest.mark.gpu


def allowed(stages: int = 1) -> float:
    """What rounding in float32 may change in so many stages' latents."""
    import torch

    return stages * a_run(tiny_pipeline("sd").unet, torch.float32)


def assert_alike(model: Any, device: str, plugins: list[Plugin], stages: int = 1, **fields: Any) -> None:
    """The device draws what the CPU draws, and the last plugin does change that."""
    expected = latents(model, "cpu", plugins, **fields)
    assert difference(latents(model, device, plugins, **fields), expected) <= allowed(stages)
    assert difference(latents(model, "cpu", plugins[:-1], **fields), expected) > 10 * allowed(stages)


@pytest.fixture
def drawing(tmp_path: Path) -> Path:
    """A picture of a few lines."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (160, 80), "white")
    ImageDraw.Draw(picture).polygon([(10, 70), (80, 10), (150, 70)], outline="black", fill="grey")
    picture.save(tmp_path / "drawing.png")
    return tmp_path / "drawing.png"


def test_a_panorama_of_the_three_methods(models: Path, device: str) -> None:
    plugins = [StyleAlignment(alpha=0.3), MultiDiffusion(stride=32), GuidedFusion(), VarianceCorrectedFusion()]
    assert_alike(models / "sd", device, plugins, scheduler="ddpm")


def test_two_models_win_at_the_same_places(models: Path, device: str) -> None:
    """Where two models respond alike to the last bit, either may win; everywhere else the latents are the same."""
    blending = SaliencyNoiseBlending(models={"one": {}, "other": {"prompt": "a tree"}})
    both = {"one": models / "sd", "other": models / "other-sd"}
    ours, theirs = (latents(both, each, [blending], steps=1) for each in (device, "cpu"))
    differs = ((ours - theirs).abs() > 10 * allowed() * theirs.abs().max()).any(1).float().mean()
    assert float(differs) <= 0.01
    alone = latents(models / "sd", "cpu", steps=1)
    assert difference(alone, theirs) > 10 * allowed()


def test_a_controlnet_steers_alike(models: Path, device: str, drawing: Path) -> None:
    net = ControlNet(model=models / "controlnet", annotator="none", from_=drawing, scale=1.0)
    assert_alike(models / "sd", device, [net])


def test_a_picture_is_looked_at_alike(models: Path, device: str, drawing: Path, tmp_path: Path) -> None:
    adapter = save_tiny_adapter(tmp_path / "adapter", tiny_pipeline("sd").unet)
    shown = IPAdapter(adapter=str(adapter), picture=drawing, box=(0.3, 0, 0.7, 1), scale=1.0)
    assert_alike(models / "sd", device, [MultiDiffusion(stride=32), shown])


def test_an_upscaling_in_two_stages(models: Path, device: str) -> None:
    plugins = [MultiDiffusion(jitter=8), DilatedSampling(), ProgressiveUpscaling()]
    assert_alike(models / "sd", device, plugins, stages=2, size=(128, 128))


def test_a_picture_that_is_enlarged(models: Path, device: str, drawing: Path) -> None:
    plugins = [MultiDiffusion(), ProgressiveUpscaling(from_=drawing)]
    assert_alike(models / "sd", device, plugins, stages=2, size=(256, 128))


def test_accdiffusion_v2_as_a_whole(models: Path, device: str) -> None:
    """Its masks and edges are yes or no, where rounding may tip a pixel: the picture is there, and nearly the CPU's."""
    pytest.importorskip("cv2", reason="edges and masks are OpenCV's")
    plugins = [
        ProgressiveUpscaling(),
        MultiDiffusion(jitter=8),
        DilatedSampling(),
        PatchContentPrompts(levels=(1,)),
        ControlNet(model=models / "controlnet", annotator="canny"),
    ]
    ours, theirs = (fusion(models / "sd", each, plugins, size=(128, 128))(progress=False) for each in (device, "cpu"))
    assert ours.forward_passes == theirs.forward_passes
    assert ours.latents.isfinite().all()
    assert difference(ours.latents, theirs.latents) <= 0.1
