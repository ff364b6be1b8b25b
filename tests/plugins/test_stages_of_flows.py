"""What begins with a picture, on a flow: at its first step, pure noise, something of the picture is left."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flow_plans import flow_plan
from PIL import Image
from torch import Tensor

from fusionkit import Plugin, StagePlan, hookimpl
from fusionkit.models.parameterisation import alpha_sigma
from fusionkit.testing import execute_tiny, tiny_model, tiny_plan
from fusionkit_accdiffusion import DilatedSampling, ProgressiveUpscaling
from fusionkit_accdiffusion.cosine import cosine
from fusionkit_gvcf import StyleAlignment
from fusionkit_gvcf.reference import noised_image
from fusionkit_multidiffusion import MultiDiffusion


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for seed, path in enumerate(paths):
        pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def test_the_reference_of_a_picture_is_that_of_stable_diffusion(pictures: list[Path]) -> None:
    found = []
    trailing = {"ddim": {"timestep-spacing": "trailing"}}
    for plan in (flow_plan(), tiny_plan(scheduler=trailing)):
        (stage,) = plan.stages
        stage.model = tiny_model()
        one, two = (noised_image(path, stage) for path in pictures)
        assert float((one - two).abs().max()) > 0.01
        found.append(one)
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=2e-3)


def test_style_alignment_moves_windows_towards_a_picture(pictures: list[Path]) -> None:
    plugins = [[StyleAlignment(reference={"image": path})] for path in pictures]  # type: ignore[arg-type]
    one, two = (execute_tiny(flow_plan(each)) for each in plugins)
    assert one.isfinite().all()
    assert float((one - two).abs().max()) > 1e-3


class FromPicture(Plugin):
    """One stage, which begins with a picture."""

    picture: Path
    strength: Any

    @hookimpl
    def plan_stages(self, recipe: Any) -> list[StagePlan]:
        return [StagePlan(recipe.size, picture=self.picture, strength=self.strength)]


@pytest.mark.parametrize(("strength", "share"), [(1.0, 1 / 15.6146), (0.5, None)])
def test_a_stage_begins_with_its_picture(pictures: list[Path], strength: float, share: float | None) -> None:
    plan = flow_plan([FromPicture(picture=pictures[0], strength=strength)], size=(64, 64), steps=4)
    (stage,) = plan.stages
    stage.model, stage.previous = tiny_model(), torch.randn(stage.shape, generator=torch.Generator().manual_seed(1))
    noise = stage.noise("init")
    latents: Tensor = plan.hooks.ask("init_latents", stage=stage, shape=stage.shape, noise=noise)
    a, s = alpha_sigma(stage.scheduler, stage.steps[0].timestep)
    if share is None:
        torch.testing.assert_close(latents, a * stage.previous + s * noise)
        assert a > 0.1
    else:
        assert (a, s) == (0.0, 1.0)
        # Noise and picture in the ratio 14.6, and as large as noise alone.
        assert float((latents - noise).norm() / noise.norm()) == pytest.approx(0.068, abs=0.01)
        assert float(latents.norm() / noise.norm()) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("skip_residual", ["off", 3.0])
def test_upscaling_holds_on_to_the_picture(pictures: list[Path], skip_residual: Any) -> None:
    def drawn(path: Path) -> Tensor:
        plugins = [
            ProgressiveUpscaling(from_=path, skip_residual=skip_residual),
            MultiDiffusion(stride=32, jitter=8),
            DilatedSampling(),
        ]
        return execute_tiny(flow_plan(plugins, size=(128, 128), steps=2))

    one, two = map(drawn, pictures)
    assert one.isfinite().all()
    assert one.shape == (1, 4, 16, 16)
    assert float((one - two).abs().max()) > 1e-3


def test_what_lets_go_along_a_cosine_goes_by_the_level() -> None:
    (stage,) = flow_plan(steps=4).stages
    levels = [alpha_sigma(stage.scheduler, at.timestep)[1] for at in stage.steps]
    assert levels[0] == 1.0
    assert levels == sorted(levels, reverse=True)
    expected = [(1 - math.cos(math.pi * level)) / 2 for level in levels]
    assert [cosine(stage, at) for at in stage.steps] == pytest.approx(expected, abs=1e-6)
