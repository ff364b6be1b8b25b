"""Steps and options of schedulers: each makes the steps that it is asked for, or is refused before anything loads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_models import info_of

from fusionkit.errors import RecipeError
from fusionkit.loop.model import ModelInfo
from fusionkit.models.schedulers.by_name import CLASS_NAMES, SHORT_NAMES
from fusionkit.models.schedulers.make import make_scheduler
from fusionkit.models.schedulers.schedules import schedule_problems
from fusionkit.recipe import Recipe, SchedulerSpec
from fusionkit.runs.checks import named_scheduler

TRAINED = 20
STEPS = (1, 2, 3, TRAINED - 1, TRAINED, TRAINED + 1, 2 * TRAINED)
SPACED = [name for name in SHORT_NAMES if not name.startswith(("edm", "lcm", "tcd", "dpm++-2s"))]


def trained(steps: int, **config: Any) -> ModelInfo:
    """The tiny model as if it had been trained with so many timesteps."""
    info = info_of("sd")
    return replace(info, scheduler_config={**info.scheduler_config, "num_train_timesteps": steps, **config})


def refused(info: ModelInfo, scheduler: Any, steps: int = 4) -> list[str]:
    """What `validate` says of a scheduler, which is what making it says."""
    spec = SchedulerSpec.model_validate(scheduler)
    with pytest.raises(RecipeError) as made:
        make_scheduler(info, spec, steps, "cpu")
    with pytest.raises(RecipeError) as validated:
        named_scheduler(Recipe(scheduler=spec, steps=steps), info)
    assert made.value.problems == validated.value.problems
    return made.value.problems


def run(scheduler: Any) -> torch.Tensor:
    """A whole schedule on one latent pixel, with a prediction that never changes."""
    latents = torch.full((1, 1, 1, 1), scheduler.init_noise_sigma)
    for timestep in scheduler.timesteps:
        scheduler.scale_model_input(latents, timestep)
        latents, _ = scheduler.step(torch.full_like(latents, 0.3), timestep, latents, torch.full_like(latents, 0.2))
    return latents


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("name", SPACED)
def test_every_number_of_steps_works_or_is_refused(name: str, spacing: str) -> None:
    info = trained(TRAINED)
    spec = SchedulerSpec(name=name, options={"timestep-spacing": spacing})
    for steps in STEPS:
        if problems := schedule_problems(info, spec, steps):
            assert refused(info, spec, steps) == problems
            assert len(problems) == 1
            assert f" {steps}" in problems[0]
            assert "at most" in problems[0] if steps >= TRAINED - 1 else "at least 4 steps" in problems[0]
            continue
        scheduler = make_scheduler(info, spec, steps, "cpu")
        assert steps <= len(scheduler.timesteps)
        assert 0 <= float(scheduler.timesteps.min()) <= float(scheduler.timesteps.max()) <= TRAINED - 1
        assert run(scheduler).isfinite().all()


def test_the_most_steps_of_each() -> None:
    """Any number up to the model's own is possible for most; those that need one level more say so."""
    found = {}
    for name in SPACED:
        for spacing in ("leading", "linspace", "trailing"):
            spec = SchedulerSpec(name=name, options={"timestep-spacing": spacing})
            possible = [n for n in STEPS if not schedule_problems(trained(TRAINED), spec, n)]
            found[name, spacing] = max(possible)
    fewer = {name for (name, _), most in found.items() if most < TRAINED}
    assert fewer == {"deis", "dpm++-2m", "dpm++-2m-sde", "sasolver", "unipc"}
    assert all(found[name, "trailing"] == TRAINED for name in SPACED)
    assert {found[name, spacing] for name in fewer for spacing in ("leading", "linspace")} == {TRAINED - 1}


@pytest.mark.parametrize(
    ("name", "steps"),
    [("ddim", 1000), ("ddim", 50), ("ddpm", 50), ("pndm", 50), ("euler", 50), ("heun", 50), ("lms", 50)],
)
def test_as_many_steps_as_training_timesteps(name: str, steps: int) -> None:
    """With an offset, leading spacing would begin above the last one; all of them are taken instead."""
    info = trained(steps)
    assert info.scheduler_config["steps_offset"] == 1
    assert info.scheduler_config["timestep_spacing"] == "leading"
    timesteps = make_scheduler(info, SchedulerSpec(name=name), steps, "cpu").timesteps
    assert timesteps[0] == steps - 1
    assert timesteps[-1] == 0
    # Where it fits, the offset is as it was.
    half = make_scheduler(info, SchedulerSpec(name=name), steps // 2, "cpu").timesteps
    assert half.max() == steps - 1
    assert half.min() == 1


@pytest.mark.parametrize("name", ["dpm++-2s", "dpm++-2s-karras", "dpm++-2s-sde", "lcm", "tcd", "edm-euler"])
def test_schedulers_with_spacings_of_their_own(name: str) -> None:
    info = trained(TRAINED)
    options = {"original-inference-steps": 10} if name in ("lcm", "tcd") else {}
    for steps in (1, 2, 3, 10, 11, TRAINED - 1, TRAINED, TRAINED + 1, 2 * TRAINED):
        spec = SchedulerSpec(name=name, options=options)
        if schedule_problems(info, spec, steps):
            assert "at most" in refused(info, spec, steps)[0]
        else:
            assert run(make_scheduler(info, spec, steps, "cpu")).isfinite().all()


def test_least_and_most_steps_are_told() -> None:
    info = trained(1000)
    assert refused(info, "pndm", 3) == ["scheduler 'pndm' needs at least 4 steps, not 3; or set skip-prk-steps: true"]
    assert (
        len(make_scheduler(info, SchedulerSpec(name="pndm", options={"skip-prk-steps": True}), 3, "cpu").timesteps) == 4
    )
    assert refused(info, "ddim", 1001) == [
        "scheduler 'ddim' makes at most 1,000 steps, one for each training timestep of the model, not 1,001"
    ]
    assert refused(info, "unipc", 1000) == [
        "scheduler 'unipc' makes at most 999 steps where they are spaced by 'leading', not 1,000; use "
        "timestep-spacing: trailing"
    ]
    assert refused(info, "lcm", 51) == [
        "scheduler 'lcm' makes at most 50 steps, not 51; set original-inference-steps for more"
    ]
    assert refused(trained(20), "tcd", 4) == [
        "scheduler 'tcd' takes its steps from 50, and the model has 20 training timesteps; set "
        "original-inference-steps: 20"
    ]


@pytest.mark.parametrize(
    ("scheduler", "said"),
    [
        ({"ddim": {"eta": "a"}}, "scheduler 'ddim': 'eta' must be a number, not 'a'"),
        ({"ddim": {"eta": 2.0}}, "scheduler 'ddim': 'eta' must be 0 to 1, not 2.0"),
        ({"ddim": {"eta": float("nan")}}, "scheduler 'ddim': 'eta' must be 0 to 1, not nan"),
        (
            {"ddim": {"beta-schedule": "nope"}},
            "scheduler 'ddim': 'beta-schedule' must be linear, scaled_linear or squaredcos_cap_v2, not 'nope'",
        ),
        (
            {"euler": {"timestep-spacing": "trailling"}},
            "scheduler 'euler': 'timestep-spacing' must be linspace, leading or trailing, not 'trailling'; did you "
            "mean 'trailing'?",
        ),
        ({"dpm++-2m": {"solver-order": 0}}, "scheduler 'dpm++-2m': 'solver-order' must be 1 to 3, not 0"),
        ({"dpm++-2m": {"solver-order": 2.5}}, "scheduler 'dpm++-2m': 'solver-order' must be a whole number, not 2.5"),
        ({"ddim": {"clip-sample": 1}}, "scheduler 'ddim': 'clip-sample' must be true or false, not 1"),
        (
            {"ddim": {"num-train-timesteps": 10**9}},
            "scheduler 'ddim': 'num-train-timesteps' must be 1 to 10000, not 1",
        ),
        ({"ddim": {"trained-betas": "x"}}, "scheduler 'ddim': 'trained-betas' must be a list of numbers, not 'x'"),
        (
            {"ddim": {"trained-betas": [0.1]}},
            "scheduler 'ddim' has 1 trained_betas for 1,000 training timesteps; there",
        ),
        (
            {"ddim": {"prediction-type": "eps"}},
            "scheduler 'ddim': 'prediction-type' must be epsilon, sample or v_pred",
        ),
        (
            {"sasolver": {"tau-func": 1}},
            "scheduler 'sasolver': 'tau-func' is an object of Python, which a recipe can't",
        ),
        (
            {"euler": {"use-karras-sigmas": True, "use-beta-sigmas": True}},
            "scheduler 'euler' takes one of use-karras-sigmas, use-exponential-sigmas and use-beta-sigmas, and has two",
        ),
        ({"ddim": {"ets": 1}}, "scheduler 'ddim' has no option 'ets'"),
    ],
)
def test_options_of_a_wrong_kind(scheduler: Any, said: str) -> None:
    (found,) = refused(info_of("sd"), scheduler)
    assert found.startswith(said)
    assert "\n" not in found


def test_all_wrong_options_at_once() -> None:
    assert len(refused(info_of("sd"), {"ddim": {"eta": "a", "clip-sample": "b", "x": 1}})) == 3


@pytest.mark.parametrize("name", ["ddim", "ddpm", "euler", "euler-a", "dpm++-2m", "unipc", "tcd", "lcm"])
def test_noise_is_not_predicted_from_pure_noise(name: str) -> None:
    (said,) = refused(info_of("sd"), {name: {"rescale-betas-zero-snr": True}})
    assert said == (
        f"scheduler '{name}' begins at pure noise (rescale_betas_zero_snr), of which a model that predicts noise "
        f"(epsilon) tells nothing; set rescale-betas-zero-snr: false, or, for a model that was trained so, "
        f"prediction-type: v_prediction"
    )
    velocity = {"rescale-betas-zero-snr": True, "prediction-type": "v_prediction"}
    assert run(make_scheduler(info_of("sd"), SchedulerSpec(name=name, options=velocity), 4, "cpu")).isfinite().all()


def test_betas_that_leave_no_signal() -> None:
    betas = [0.1] * 9 + [1.0]
    (said,) = refused(trained(10, trained_betas=betas), "ddim")
    assert said.startswith("scheduler 'ddim' begins at pure noise (its betas leave no signal), of which a model")
    (said,) = refused(info_of("sd"), {"ddim": {"beta-end": 1.0}})
    assert "its betas leave no signal" in said
    for kind in ("linear", "scaled_linear", "squaredcos_cap_v2"):
        assert not schedule_problems(trained(1000, beta_schedule=kind), SchedulerSpec(name="ddpm"), 5)


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_options_are_read_as_diffusers_has_them(name: str) -> None:
    """From the source alone, and yet the same names and defaults that the imported class has."""
    import inspect

    import diffusers

    from fusionkit.models.schedulers.options import options_of

    found = options_of(name)
    assert found is not None
    parameters = inspect.signature(getattr(diffusers, name).__init__).parameters
    assert set(found.config) == set(parameters) - {"self"}
    plain = {key: default for key, (_, default) in found.config.items() if default is not None}
    assert plain
    assert all(parameters[key].default == default for key, default in plain.items())
    # Nothing that diffusers takes by default is refused, nor is what the tiny models bring along.
    assert schedule_problems(info_of("sdxl"), SchedulerSpec(name=name), 5) == []
