"""diffusers' panorama is compared where it draws the same picture, and refused where it does not."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import diffusers
import pytest
from drawings import drawing

from fusionkit import Fused, Plugin, hookimpl
from fusionkit.bench import diffusers_panorama
from fusionkit.bench.diffusers_panorama import DiffusersPanorama
from fusionkit.errors import FusionError
from fusionkit.runs.run import prepare
from fusionkit.testing.tiny import Kind, tiny_plan
from fusionkit_accdiffusion import DilatedSampling, ProgressiveUpscaling
from fusionkit_gvcf import GuidedFusion, StyleAlignment
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_multidiffusion import MultiDiffusion


class Twisted(Plugin):
    """A method that the pipeline has not, and that nobody can see in a plan."""

    @hookimpl(wrapper=True)
    def fuse(self) -> Generator[None, Fused, Fused]:
        fused = yield
        return replace(fused, prediction=fused.prediction * 1.05)


@pytest.mark.parametrize(
    ("scheduler", "kind", "negative"),
    [
        ("ddim", "sd", "a lake"),
        ("euler", "sd", "a lake"),
        ("dpm++-2m", "sd", "a lake"),
        ("unipc", "sd", "a lake"),
        ("ddim", "sdxl", ""),
        ("dpm++-2m", "sdxl", "a lake"),
    ],
)
def test_it_draws_the_same_picture_with_any_scheduler_without_noise(scheduler: str, kind: Kind, negative: str) -> None:
    plugins = StyleAlignment(alpha=0.4), MultiDiffusion(stride=48)
    subject = drawing(*plugins, kind=kind, scheduler=scheduler, negative_prompt=negative)
    noted = subject.note()
    assert DiffusersPanorama().problems(noted.plan) == []
    contestants = DiffusersPanorama().contestants(subject, noted)
    assert [each.name.partition(", ")[2] for each in contestants] == ["6 views a pass", "1 view a pass"]
    for each in contestants:
        assert each.difference is not None
        assert each.difference < 1e-4
        assert each.size == (160, 80)
        each.run(None)  # type: ignore[arg-type]


def test_one_view_a_pass_is_measured_once() -> None:
    subject = drawing(MultiDiffusion(stride=48), scheduler="ddim", batch_size=1)
    (only,) = DiffusersPanorama().contestants(subject, subject.note())
    assert only.name.endswith("1 view a pass")


def test_a_baseline_that_draws_another_picture_is_refused() -> None:
    subject = drawing(MultiDiffusion(stride=48), Twisted(), scheduler="ddim")
    noted = subject.note()
    assert DiffusersPanorama().problems(noted.plan) == []
    with pytest.raises(FusionError, match=r"^baseline '.*' draws another picture than the recipe: .* by up to 0\.\d+"):
        DiffusersPanorama().contestants(subject, noted)


UPSCALING = (ProgressiveUpscaling(), DilatedSampling())
BLENDING = SaliencyNoiseBlending(models={"scene": {}, "expert": {"prompt": "a rocket"}})


@pytest.mark.parametrize(
    ("plan", "lines"),
    [
        (
            lambda: tiny_plan([BLENDING], models=("scene", "expert"), scheduler="ddim"),
            [
                "draws with one model, and the recipe has 2",
                "can't do what 'saliency-noise-blending' does (noise_prediction)",
            ],
        ),
        (
            lambda: tiny_plan(UPSCALING, size=(128, 128), scheduler="ddim"),
            [
                "draws in one stage, and the recipe has 2",
                "can't do what 'progressive-upscaling' does (step)",
                "can't do what 'dilated-sampling' does (noise_prediction)",
            ],
        ),
        (
            lambda: tiny_plan(scheduler="ddpm"),
            ["draws noise for each view, so that its picture is another one than DDPMScheduler's; use a scheduler "],
        ),
        (
            lambda: tiny_plan([GuidedFusion()], scheduler="ddim"),
            ["needs the same windows at each step, one beside the other, each of weight 1"],
        ),
        (
            lambda: tiny_plan([MultiDiffusion(stride=32, jitter=8)], scheduler="ddim"),
            ["needs the same windows at each step, one beside the other, each of weight 1"],
        ),
    ],
    ids=["two models", "stages", "noise", "weights", "jitter"],
)
def test_what_it_cannot_do_is_told_before_anything_loads(plan: Any, lines: list[str]) -> None:
    found = DiffusersPanorama().problems(plan())
    assert len(found) == len(lines)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True)), found


def test_another_family_is_told() -> None:
    plan = tiny_plan([MultiDiffusion(stride=48)], scheduler="ddim")
    lines = DiffusersPanorama().problems(replace(plan, info=replace(plan.info, kind="kolors", name="k")))
    assert lines == ["is for Stable Diffusion, and k is another kind"]


def test_without_guidance_the_shell_tells_the_prompt_alone() -> None:
    subject = drawing(MultiDiffusion(stride=48), kind="sdxl", scheduler="ddim", guidance_scale=1.0)
    found = DiffusersPanorama().contestants(subject, subject.note())
    assert all(each.difference is not None and each.difference < 1e-4 for each in found)


def test_a_diffusers_without_the_pipeline_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusers_panorama, "PIPELINE", "GonePipeline")
    line = f"needs diffusers' GonePipeline, which diffusers {diffusers.__version__} does not have"
    subject = drawing(scheduler="ddim")
    plan = prepare(subject.recipe, subject.model.info)
    assert DiffusersPanorama().problems(plan) == [line]
