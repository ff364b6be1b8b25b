"""Stages that begin in the middle of the schedule, with what comes before them, noised."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fusionkit import Plugin, StagePlan, hookimpl
from fusionkit.errors import PluginError, RecipeError
from fusionkit.loop.ring import resized
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.models.parameterisation import alpha_sigma
from fusionkit.models.schedulers.by_name import SHORT_NAMES
from fusionkit.models.schedulers.make import make_scheduler
from fusionkit.models.silence import quiet_diffusers
from fusionkit.pictures.picture import open_picture
from fusionkit.recipe.recipe import SchedulerSpec
from fusionkit.runs.run import picture_latents
from fusionkit.testing import execute_tiny, tiny_model, tiny_pipeline, tiny_plan

STOCHASTIC = {name for name in SHORT_NAMES if name.endswith(("-a", "-a-karras", "sde", "sde-karras"))} | {
    "ddpm",
    "lcm",
    "sasolver",
    "tcd",
}


# Without Runge-Kutta steps, which need four steps at least.
OPTIONS = {"pndm": {"skip-prk-steps": True}}


class FromPicture(Plugin):
    """One stage, which begins with a picture."""

    picture: Path
    strength: Any = 0.6

    @hookimpl
    def plan_stages(self, recipe: Any) -> list[StagePlan]:
        return [StagePlan(recipe.size, picture=self.picture, strength=self.strength)]


class Second(Plugin):
    """A second stage, which begins with the first."""

    strength: Any = 0.5
    size: tuple[int, int] = (64, 64)

    @hookimpl
    def plan_stages(self, recipe: Any) -> list[StagePlan]:
        return [StagePlan(recipe.size), StagePlan(self.size, strength=self.strength, name="again")]


class Noise(Plugin):
    """Starting noise that is given."""

    noise: Any

    @hookimpl
    def init_noise(self) -> Tensor:
        return self.noise


class Kept(Plugin):
    """Keeps the canvas as each step is given it."""

    seen: Any

    @hookimpl(wrapper=True)
    def step(self, latents: Tensor) -> Any:
        self.seen.append(latents)
        return (yield)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (4, 4, 3)).astype(np.uint8)
    path = tmp_path / "start.png"
    Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC).save(path)
    return path


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def scheduler_of(name: str, steps: int, skipped: int = 0, **options: Any) -> Any:
    return make_scheduler(
        info_of_pipeline(tiny_pipeline()), SchedulerSpec(name=name, options=options), steps, "cpu", skipped
    )


def denoised(scheduler: Any, clean: Tensor, noise: Tensor) -> list[Tensor]:
    """The canvas before each step and after the last, where a perfect model predicts the noise."""
    latents, seen = scheduler.add_noise(clean, noise, scheduler.timesteps[0]), []
    for at in scheduler.timesteps:
        seen.append(latents)
        shown, (alpha, sigma) = scheduler.scale_model_input(latents, at), alpha_sigma(scheduler, at)
        latents, _ = scheduler.step((shown - alpha * clean) / sigma, at, latents, torch.zeros_like(latents))
    return [*seen, latents]


@pytest.mark.parametrize(
    "name", ["ddim", "dpm++-2m", "dpm++-2m-karras", "euler", "euler-karras", "heun", "unipc", "deis"]
)
def test_it_is_diffusers_own_image_to_image(name: str, picture: Path) -> None:
    noise, steps, strength = normal(1, 4, 8, 8, seed=7), 7, 0.6
    plugins = [FromPicture(picture=picture, strength=strength), Noise(noise=noise)]
    plan = tiny_plan(plugins, size=(64, 64), scheduler=name, steps=steps, guidance_scale=4.0)
    (stage,) = plan.stages
    latents = execute_tiny(plan)

    pipe = tiny_pipeline()
    start = tiny_model().encode(open_picture(picture, (64, 64)))
    with quiet_diffusers():
        scheduler = getattr(diffusers, stage.scheduler.name).from_config(stage.scheduler.config)
        theirs = diffusers.StableDiffusionImg2ImgPipeline(
            **{**pipe.components, "scheduler": scheduler}, requires_safety_checker=False
        )
        theirs.set_progress_bar_config(disable=True)
        expected = theirs(
            "a hill",
            image=start,
            strength=strength,
            num_inference_steps=steps,
            guidance_scale=4.0,
            generator=torch.Generator().manual_seed(7),
            output_type="latent",
        ).images
    assert float((latents - expected).abs().max()) < 1e-4 * float(expected.abs().max())
    assert [float(at.timestep) for at in stage.steps] == [
        float(t) for t in theirs.scheduler.timesteps[-len(stage.steps) :]
    ]


@pytest.mark.parametrize("name", sorted(SHORT_NAMES))
def test_with_a_perfect_model_the_tail_goes_where_the_whole_schedule_goes(name: str) -> None:
    """For every scheduler; also where diffusers' own pipelines begin wrongly (PNDM, LMS)."""
    if name.startswith("edm"):
        pytest.skip("its models have another form")
    clean, noise = normal(1, 4, 3, 3), normal(1, 4, 3, 3, seed=1)
    options = OPTIONS.get(name, {})
    whole, tail = scheduler_of(name, 10, **options), scheduler_of(name, 10, skipped=4, **options)
    taken = len(tail.timesteps)
    assert tail.timesteps[0] in whole.timesteps
    all_of_it, end_of_it = (denoised(each, clean, noise) for each in (whole, tail))
    allowed = 2e-2 if name in STOCHASTIC else 2e-3  # noise that is zeros here leaves another last noise level
    assert float((all_of_it[-1] - end_of_it[-1]).abs().max()) < allowed
    if name in STOCHASTIC or name == "pndm":
        return
    assert tail.timesteps.equal(whole.timesteps[-taken:])
    assert taken == len(whole.timesteps) - 4 * whole._scheduler.order
    # Whatever the step, the canvas is the picture with this very noise.
    for ours, theirs in zip(end_of_it, all_of_it[-taken - 1 :], strict=True):
        assert float((ours - theirs).abs().max()) < 2e-3


def test_pndm_repeats_the_timesteps_of_its_later_beginning() -> None:
    whole, tail = scheduler_of("pndm", 6, **{"skip-prk-steps": True}), None
    assert whole.timesteps.tolist()[0] == 831
    tail = scheduler_of("pndm", 6, 3, **{"skip-prk-steps": True})
    first, second, third = sorted(set(whole.timesteps.tolist()), reverse=True)[3:]
    assert tail.timesteps.tolist() == [first, second, second, third]
    runge_kutta = scheduler_of("pndm", 10, 3, **{"skip-prk-steps": False})
    assert len(runge_kutta.timesteps) == 12 + 4
    with pytest.raises(RecipeError, match=r"its last 3 are too few, it needs 4; or set skip-prk-steps: true"):
        scheduler_of("pndm", 10, 7, **{"skip-prk-steps": False})


def test_the_canvas_begins_as_the_picture_noised_and_steps_are_counted(picture: Path) -> None:
    noise, seen = normal(1, 4, 8, 8, seed=3), []
    plugins = [FromPicture(picture=picture, strength=0.3), Noise(noise=noise), Kept(seen=seen)]
    plan = tiny_plan(plugins, size=(64, 64), scheduler="ddim", steps=10)
    (stage,) = plan.stages
    assert (len(stage.steps), stage.sampling_steps, plan.steps) == (3, 3, 3)
    assert plan.forward_passes == 3 * 2
    assert [at.index for at in stage.steps] == [0, 1, 2]
    full = tiny_plan([], size=(64, 64), scheduler="ddim", steps=10).stages[0]
    assert [at.timestep for at in stage.steps] == [at.timestep for at in full.steps[-3:]]
    execute_tiny(plan)
    assert stage.previous is not None
    assert seen[0].equal(stage.scheduler.add_noise(stage.previous, noise, stage.steps[0].timestep))
    assert stage.previous.equal(picture_latents(plan))


def test_a_second_stage_begins_with_the_first_enlarged() -> None:
    seen: list[Any] = []
    plan = tiny_plan([Second(size=(128, 96)), Kept(seen=seen)], size=(64, 64), scheduler="euler-karras", steps=6)
    execute_tiny(plan)
    last = plan.stages[1]
    assert last.previous is not None
    start = resized(last.previous, (12, 16))
    noise = last.noise("init")
    sigma = last.scheduler._scheduler.sigmas[3]
    assert float((seen[6] - (start + sigma * noise)).abs().max()) < 1e-5
    assert len(seen) == 6 + 3


def test_whole_strength_begins_at_the_first_timestep_and_none_with_noise_alone(picture: Path) -> None:
    for strength in (1, 1.0, None):
        seen: list[Any] = []
        plan = tiny_plan([FromPicture(picture=picture, strength=strength), Kept(seen=seen)], size=(64, 64), steps=4)
        execute_tiny(plan)
        (stage,) = plan.stages
        noise = stage.noise("init")
        assert len(stage.steps) == 4
        if strength is None:
            assert seen[0].equal(noise * stage.scheduler.init_noise_sigma)
        else:
            assert stage.previous is not None
            assert seen[0].equal(stage.scheduler.add_noise(stage.previous, noise, stage.steps[0].timestep))


# Diffusers takes a second to make one of these.
@pytest.mark.parametrize("name", sorted(set(SHORT_NAMES) - {"kdpm2-karras", "kdpm2-a-karras"}))
def test_every_scheduler_runs_from_the_middle(name: str) -> None:
    scheduler = {name: OPTIONS.get(name, {})}
    plan = tiny_plan([Second(strength=0.5)], size=(64, 64), scheduler=scheduler, steps=4)
    first, last = plan.stages
    assert last.scheduler.remaining(last.steps[0].timestep) < first.scheduler.remaining(first.steps[0].timestep)
    assert all(
        last.scheduler.remaining(one.timestep) >= last.scheduler.remaining(other.timestep)
        for one, other in pairwise(last.steps)
    ) or name.startswith(("kdpm2", "pndm"))
    latents = execute_tiny(plan)
    assert bool(latents.isfinite().all())


@pytest.mark.parametrize("name", ["ddim", "euler-karras", "heun", "dpm++-2s"])
def test_the_less_strength_the_more_stays(name: str) -> None:
    changed = []
    for strength in (0.26, 0.5, 0.9):
        plan = tiny_plan([Second(strength=strength)], size=(64, 64), scheduler=name, steps=4)
        latents = execute_tiny(plan)
        assert plan.stages[1].previous is not None
        changed.append(float((latents - plan.stages[1].previous).abs().mean()))
    assert changed == sorted(changed)


def test_a_beginning_of_nothing_is_refused(picture: Path) -> None:
    class Nothing(Plugin):
        @hookimpl(wrapper=True)
        def plan_stages(self) -> Any:
            return [replace(plan, strength=0.5) for plan in (yield)]

    with pytest.raises(PluginError, match=r"a first StagePlan with strength 0\.5 and no picture.*asked: nothing"):
        tiny_plan([Nothing()])
    for strength in (0, 1.1, -0.5, True, "much", float("nan")):
        with pytest.raises(PluginError, match="expected None or a number above 0, up to 1"):
            tiny_plan([FromPicture(picture=picture, strength=strength)])
    with pytest.raises(RecipeError, match=r"strength 0\.1 leaves none of 5 steps; use at least 0\.2, or more steps"):
        tiny_plan([FromPicture(picture=picture, strength=0.1)], steps=5)
    with pytest.raises(RecipeError, match=r"strength 0\.3 of stage 'again' leaves none of 3 steps"):
        tiny_plan([Second(strength=0.3)], steps=3)
