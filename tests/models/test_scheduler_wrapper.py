"""Schedulers: names, options, noise from outside, and what the loop relies on."""

from __future__ import annotations

import inspect
import re
from importlib.util import find_spec
from typing import Any

import diffusers
import pytest
import torch
from tiny_models import info_of
from torch import Tensor

from fusionkit.errors import RecipeError
from fusionkit.models.schedulers.by_name import (
    CLASS_NAMES,
    FLOW_CLASSES,
    FLOW_NAMES,
    SHORT_NAMES,
    UNSUITABLE,
    known_schedulers,
    resolve,
)
from fusionkit.models.schedulers.make import make_scheduler
from fusionkit.models.silence import quiet_diffusers
from fusionkit.recipe import SchedulerSpec

SHAPE = (1, 4, 6, 10)
NEEDS_SCIPY = {"lms", "lms-karras", "LMSDiscreteScheduler"}
NAMES = [name for name in known_schedulers() if name not in {*NEEDS_SCIPY, *FLOW_NAMES, *FLOW_CLASSES}]
STOCHASTIC = {
    "DDPMParallelScheduler": True,
    "ddim": False,
    "ddpm": True,
    "deis": False,
    "dpm++-2m": False,
    "dpm++-2m-karras": False,
    "dpm++-2m-sde": True,
    "dpm++-2m-sde-karras": True,
    "dpm++-2s": False,
    "dpm++-2s-sde": True,
    "edm-dpm++-2m": False,
    "edm-dpm++-2m-sde": True,
    "edm-euler": False,
    "euler": False,
    "euler-a": True,
    "heun": False,
    "kdpm2": False,
    "kdpm2-a": True,
    "lcm": True,
    "pndm": False,
    "sasolver": True,
    "tcd": True,
    "unipc": False,
}


def make(name: str, steps: int = 6, kind: str = "sd", **options: Any) -> Any:
    return make_scheduler(info_of(kind), SchedulerSpec(name=name, options=options), steps, "cpu")


def randn(*key: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(hash(key) % 2**31))


def walk(scheduler: Any, predictions: int = 0, scale: float = 1.0) -> Tensor:
    """The whole schedule on given predictions and noise."""
    latents = randn(0) * scheduler.init_noise_sigma
    for step, timestep in enumerate(scheduler.timesteps):
        scheduler.scale_model_input(latents, timestep)
        latents, _ = scheduler.step(scale * randn(1, predictions, step), timestep, latents, randn(2, step))
    return latents


@pytest.mark.parametrize("name", ["kdpm2", "pndm", "dpm++-2m"])
def test_a_scheduler_has_nothing_of_one_that_was_made_and_used_before(name: str) -> None:
    first = make(name)
    before = walk(first)
    second = make(name)
    shared = [
        key
        for key, value in vars(second._scheduler).items()
        if isinstance(value, Tensor) and value.data_ptr() == getattr(first._scheduler, key).data_ptr()
    ]
    assert not shared
    assert walk(second).equal(before)


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
@pytest.mark.parametrize("name", NAMES)
def test_every_scheduler_is_affine_in_the_prediction(name: str, kind: str) -> None:
    """The one idea of fusionkit: fused predictions make the canvas that fused steps make."""
    some, others, mean = make(name, kind=kind), make(name, kind=kind), make(name, kind=kind)
    assert not mean.clips
    weight = torch.rand(SHAPE, generator=torch.Generator().manual_seed(5))
    latents = randn(0) * mean.init_noise_sigma
    for step, timestep in enumerate(mean.timesteps):
        one, two, noise = randn(1, step), randn(2, step), randn(3, step)
        for scheduler in (some, others, mean):
            scheduler.scale_model_input(latents, timestep)
        stepped = torch.lerp(
            some.step(one, timestep, latents, noise)[0], others.step(two, timestep, latents, noise)[0], weight
        )
        latents, _ = mean.step(torch.lerp(one, two, weight), timestep, latents, noise)
        assert latents.dtype == torch.float32
        assert latents.shape == SHAPE
        assert (latents - stepped).abs().max() <= 1e-4 * max(1.0, float(latents.abs().max()))
    assert len(mean.timesteps) >= 6
    assert mean.init_noise_sigma > 0


def test_short_names_stand_for_classes_with_their_options() -> None:
    with quiet_diffusers():
        for name, (cls, options) in SHORT_NAMES.items():
            assert resolve(SchedulerSpec(name=name)) == cls
            if name not in NEEDS_SCIPY:
                config = make(name).config
                assert {key: config[key] for key in options} == dict(options)
                assert make(name).name == cls


def test_every_class_of_diffusers_for_noise_or_velocity_is_known_or_refused() -> None:
    ours = {*CLASS_NAMES, *FLOW_CLASSES, *UNSUITABLE}
    karras = {each.name for each in diffusers.schedulers.scheduling_utils.KarrasDiffusionSchedulers}
    assert karras <= ours


def test_stochastic_flags() -> None:
    found = {name: make(name).stochastic for name in STOCHASTIC}
    assert found == STOCHASTIC


@pytest.mark.parametrize(
    ("name", "options", "stochastic"),
    [
        ("ddim", {"eta": 1.0}, True),
        ("tcd", {"eta": 0.0}, False),
        ("euler", {"s_churn": 5.0}, True),
        ("euler", {"s-churn": 5.0, "s-noise": 1.1}, True),
        # Churned in a few steps in the middle only.
        ("edm-euler", {"s_churn": 5.0, "s_tmin": 1.0, "s_tmax": 5.0}, True),
        ("dpm++-2m", {"algorithm_type": "sde-dpmsolver++"}, True),
    ],
)
def test_options_of_steps_and_configurations(name: str, options: dict[str, Any], stochastic: bool) -> None:
    assert make(name, 20, **options).stochastic is stochastic
    assert not walk(make(name, 20, **options)).equal(walk(make(name, 20)))


@pytest.mark.parametrize("name", [name for name, stochastic in STOCHASTIC.items() if stochastic])
def test_given_noise_is_what_the_scheduler_would_have_drawn(name: str) -> None:
    ours = make(name)
    theirs = make(name)._scheduler
    latents = canvas = randn(0) * ours.init_noise_sigma
    generator, drawn = torch.Generator().manual_seed(9), torch.Generator().manual_seed(9)
    for step, timestep in enumerate(ours.timesteps):
        prediction = randn(1, step)
        ours.scale_model_input(latents, timestep)
        theirs.scale_model_input(canvas, timestep)
        before = drawn.get_state()
        with quiet_diffusers():
            canvas = theirs.step(prediction, timestep, canvas, generator=drawn).prev_sample
        noise = randn(7) if drawn.get_state().equal(before) else torch.randn(SHAPE, generator=generator)
        latents, _ = ours.step(prediction, timestep, latents, noise)
        assert latents.equal(canvas)


def test_the_global_generator_is_not_touched() -> None:
    state = torch.get_rng_state()
    for name in STOCHASTIC:
        walk(make(name))
        assert make(name).stochastic in (True, False)
    assert torch.get_rng_state().equal(state)


def test_noise_of_another_shape_is_refused() -> None:
    scheduler = make("euler-a")
    latents = randn(0)
    scheduler.scale_model_input(latents, scheduler.timesteps[0])
    with pytest.raises(ValueError, match=r"draws noise of shape \(1, 4, 6, 10\); it was given \(1, 4, 6, 5\)"):
        scheduler.step(latents, scheduler.timesteps[0], latents, latents[..., :5])


def test_further_draws_in_one_step_follow_from_the_first() -> None:
    from fusionkit.models.schedulers.wrapper import GivenNoise

    def draws(noise: Tensor) -> list[Tensor]:
        with GivenNoise(noise):
            return [torch.randn(SHAPE), torch.randn(*SHAPE), torch.randn_like(noise), torch.randn((2, 3))]

    first, second, third, small = draws(randn(0))
    assert first.equal(randn(0))
    assert small.shape == (2, 3)
    assert not second.equal(first)
    assert not third.equal(second)
    assert all(one.equal(two) for one, two in zip(draws(randn(0)), (first, second, third, small), strict=True))
    assert not draws(randn(1))[1].equal(second)


@pytest.mark.parametrize("name", NAMES)
def test_add_noise_follows_the_timestep_wherever_the_schedule_is(name: str) -> None:
    """Skip residuals noise the same picture to every timestep, before and after the step."""
    scheduler = make(name)
    clean, noise = randn(0), randn(1)
    expected = [scheduler.add_noise(clean, noise, timestep) for timestep in scheduler.timesteps]
    latents = randn(2) * scheduler.init_noise_sigma
    for timestep, noised in zip(scheduler.timesteps, expected, strict=True):
        scheduler.scale_model_input(latents, timestep)
        assert scheduler.add_noise(clean, noise, timestep).equal(noised)
        latents, _ = scheduler.step(randn(3), timestep, latents, randn(4))
        assert scheduler.add_noise(clean, noise, timestep).equal(noised)
    # From much noise to little; never more than there was.
    amounts = [float((noised - clean).std()) for noised in expected]
    assert amounts[0] == max(amounts)
    assert amounts[-1] < amounts[0]
    assert walk(make(name)).equal(walk(make(name)))


@pytest.mark.parametrize("name", NAMES)
def test_denoised_is_the_clean_estimate(name: str) -> None:
    """Given the noise that is in the latents as the prediction, the estimate is the clean picture."""
    scheduler = make(name)
    clean, noise = randn(0), randn(1)
    for timestep in scheduler.timesteps[:1]:
        latents = scheduler.add_noise(clean, noise, timestep)
        scheduler.scale_model_input(latents, timestep)
        denoised = scheduler.step(noise, timestep, latents, randn(2))[1]
        if name in ("deis", "pndm", "tcd", "DEISMultistepScheduler", "PNDMScheduler", "TCDScheduler"):
            assert denoised is None
        elif "lcm" in name.lower() or "edm" in name.lower():
            # Their models are trained to be read in another way.
            assert denoised is not None
            assert denoised.shape == SHAPE
        else:
            assert (denoised - clean).abs().max() <= 1e-3


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("dimm", "no scheduler 'dimm'; did you mean 'ddim'?"),
        ("DDIMSchedular", "no scheduler 'DDIMSchedular'; did you mean 'DDIMScheduler'?"),
        ("ddimscheduler", "no scheduler 'ddimscheduler'; did you mean 'DDIMScheduler'?"),
        ("FlowEuler", "no scheduler 'FlowEuler'; did you mean 'flow-euler'?"),
        (
            "DPMSolverSDEScheduler",
            "scheduler 'DPMSolverSDEScheduler' draws its noise from torchsde, which can't be fused; use 'dpm++-2m-sde'",
        ),
    ],
)
def test_unknown_and_unsuitable_names(name: str, problem: str) -> None:
    for ask in (lambda: resolve(SchedulerSpec(name=name)), lambda: make(name)):
        with pytest.raises(RecipeError) as caught:
            ask()
        assert caught.value.problems == [problem]


def test_a_name_far_from_all_others_lists_them() -> None:
    with pytest.raises(
        RecipeError, match=r"^no scheduler 'qqqq'; known are: ddim, ddpm, .*unipc-karras, flow-euler, .*flow-lcm$"
    ):
        resolve(SchedulerSpec(name="qqqq"))


def test_names_may_be_written_otherwise() -> None:
    assert resolve(SchedulerSpec(name="Euler_A")) == "EulerAncestralDiscreteScheduler"


def test_unknown_options_are_refused_all_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        make("ddim", etta=1.0, beta_stat=0.1)
    assert caught.value.problems == [
        "scheduler 'ddim' has no option 'etta'; did you mean 'eta'?",
        "scheduler 'ddim' has no option 'beta_stat'; did you mean 'beta_start'?",
    ]


@pytest.mark.parametrize(
    ("name", "steps", "options", "problem"),
    [
        ("ddim", 1001, {}, r"scheduler 'ddim' makes at most 1,000 steps.*"),
        ("euler", 4, {"use_karras_sigmas": True, "use_exponential_sigmas": True}, r"scheduler 'euler' takes one of .*"),
        ("ddim", 4, {"beta_schedule": "round"}, r"scheduler 'ddim': .*round.*"),
        ("dpm++-2m", 4, {"use_flow_sigmas": True}, r"scheduler 'dpm\+\+-2m': flow matching is for flow-.*"),
    ],
)
def test_values_that_diffusers_refuses(name: str, steps: int, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make(name, steps, **options)
    assert len(caught.value.problems) == 1
    assert "\n" not in str(caught.value)
    assert re.fullmatch(problem, str(caught.value))


@pytest.mark.skipif(find_spec("scipy") is not None, reason="scipy is there")
def test_scipy_is_asked_for_in_one_line() -> None:
    with pytest.raises(RecipeError, match=r"^scheduler 'lms' needs scipy: pip install scipy$"):
        make("lms")


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_the_models_own(kind: str) -> None:
    info = info_of(kind)
    scheduler = make_scheduler(info, None, 5, "cpu")
    with quiet_diffusers():
        plain = getattr(diffusers, info.scheduler).from_config(dict(info.scheduler_config))
        plain.set_timesteps(5)
    assert scheduler.name == info.scheduler
    assert scheduler.timesteps.equal(plain.timesteps)


def test_another_one_keeps_the_models_noise_schedule() -> None:
    config = make("euler").config
    assert (config["beta_start"], config["beta_schedule"]) == (0.00085, "scaled_linear")
    assert make("euler", timestep_spacing="trailing").timesteps[0] == 999


def test_clipping_is_off_unless_asked_for() -> None:
    assert not make("ddim", kind="sdxl").clips
    assert make("ddim", kind="sdxl", clip_sample=True).clips
    assert make("ddim", thresholding=True).clips


def test_known_options_are_those_of_diffusers() -> None:
    taken = inspect.signature(diffusers.DDIMScheduler.__init__).parameters
    assert "eta" not in taken
    assert make("ddim", eta=0.5)._options == {"eta": 0.5}


@pytest.mark.parametrize("name", ["ddim", "euler", "heun", "edm-euler", "pndm", "lcm", "dpm++-2m-karras"])
def test_a_copy_that_starts_at_any_step_scales_and_noises_as_the_schedule_does_there(name: str) -> None:
    scheduler, latents = make(name), randn(1)
    for index, timestep in enumerate(scheduler.timesteps):
        other = make(name).starting_at(index)
        assert other.scale_model_input(latents, timestep).equal(scheduler.scale_model_input(latents, timestep))
        assert other.add_noise(latents, randn(2), timestep).equal(scheduler.add_noise(latents, randn(2), timestep))
        scheduler.step(randn(3, index), timestep, latents, randn(4, index))


def test_a_copy_that_starts_later_leaves_the_scheduler_where_it_was() -> None:
    alone, watched, predictions = make("dpm++-2m"), make("dpm++-2m"), [randn(5, index) for index in range(6)]
    latents = [randn(6)] * 2
    for index, timestep in enumerate(alone.timesteps):
        other = watched.starting_at(3)
        other.step(randn(7), other.timesteps[3], randn(8), randn(9))
        latents = [
            each.step(predictions[index], timestep, x, randn(10))[0]
            for each, x in zip((alone, watched), latents, strict=True)
        ]
    assert latents[0].equal(latents[1])
