"""Schedulers of flows: levels, exact times, options, noise, and what the loop relies on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import diffusers
import pytest
import torch
from tiny_models import info_of
from torch import Tensor

from fusionkit.errors import RecipeError
from fusionkit.loop.model import ModelInfo
from fusionkit.models.schedulers.by_name import FLOW_NAMES
from fusionkit.models.schedulers.flow_wrapper import FlowScheduler
from fusionkit.models.schedulers.flows import MOST_NOISE, timing, window_tokens
from fusionkit.models.schedulers.make import make_scheduler
from fusionkit.models.silence import quiet_diffusers
from fusionkit.recipe import Recipe, SchedulerSpec
from fusionkit.runs.checks import named_scheduler

EULER = "FlowMatchEulerDiscreteScheduler"
STATIC: dict[str, Any] = {"shift": 3.0, "use_dynamic_shifting": False, "num_train_timesteps": 1000}
DYNAMIC: dict[str, Any] = {
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}
CASES: list[tuple[str, dict[str, Any], bool]] = [
    ("flow-euler", {}, False),
    ("flow-euler", {"stochastic-sampling": True}, True),
    ("flow-euler-a", {}, True),
    ("flow-euler-a", {"eta": 0.5}, True),
    ("flow-euler-a", {"eta": 0.0}, False),
    ("flow-heun", {}, False),
    ("flow-lcm", {}, True),
    ("unipc", {}, False),
    ("unipc-karras", {}, False),
    ("unipc", {"solver-order": 3}, False),
    ("dpm++-2m", {}, False),
    ("dpm++-2m", {"solver-type": "heun"}, False),
    ("dpm++-2m-sde", {}, True),
    ("dpm++-2m-sde-karras", {}, True),
]
SHAPE = (1, 4, 6, 10)


def flow_info(scheduler: str = EULER, **config: Any) -> ModelInfo:
    """The tiny model as if it answered a flow's velocity."""
    flow = {"kind": "flux", "patch": 2, "prediction_type": "flow_prediction"}
    return replace(info_of("sd"), **flow, scheduler=scheduler, scheduler_config=config or STATIC)  # type: ignore[arg-type]


def make(name: str | None, options: dict[str, Any] | None = None, steps: int = 6, **more: Any) -> FlowScheduler:
    spec = None if name is None else SchedulerSpec(name=name, options=options or {})
    info = more.pop("info", None) or flow_info()
    made = make_scheduler(info, spec, steps, "cpu", **more)
    assert isinstance(made, FlowScheduler)
    return made


def randn(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def said(error: Any) -> str:
    return str(error.value)


@pytest.mark.parametrize(("name", "options", "stochastic"), CASES)
def test_every_scheduler_is_affine_in_prediction_and_noise(
    name: str, options: dict[str, Any], stochastic: bool
) -> None:
    """Over the whole schedule, from equal latents: the mean of the steps is the step of the mean."""
    some, others, mean = (make(name, options) for _ in range(3))
    assert mean.stochastic is stochastic
    assert not mean.clips
    weight, latents = torch.rand(SHAPE, generator=torch.Generator().manual_seed(5)), randn(0)
    for step, timestep in enumerate(mean.timesteps):
        one, two, z, w = (randn(4 * step + number + 1) for number in range(4))
        stepped = torch.lerp(some.step(one, timestep, latents, z)[0], others.step(two, timestep, latents, w)[0], weight)
        latents, _ = mean.step(torch.lerp(one, two, weight), timestep, latents, torch.lerp(z, w, weight))
        assert (latents - stepped).abs().max() <= 1e-5 * max(1.0, float(latents.abs().max()))
    assert latents.isfinite().all()


@pytest.mark.parametrize(("name", "options", "stochastic"), CASES)
def test_a_perfect_velocity_ends_at_the_clean_latents(name: str, options: dict[str, Any], stochastic: bool) -> None:
    clean, scheduler = randn(1), make(name, options)
    assert scheduler.init_noise_sigma == 1.0
    latents = randn(2)
    for step, timestep in enumerate(scheduler.timesteps):
        level = scheduler.level(timestep)
        assert scheduler.scale_model_input(latents, timestep) is latents
        latents, denoised = scheduler.step((latents - clean) / level, timestep, latents, randn(step + 3))
        assert denoised is not None
        torch.testing.assert_close(denoised, clean, rtol=0, atol=1e-5)
    torch.testing.assert_close(latents, clean, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", [*FLOW_NAMES, "unipc", "dpm++-2m", "dpm++-2m-sde"])
@pytest.mark.parametrize("config", [STATIC, DYNAMIC, {**DYNAMIC, "time_shift_type": "linear", "shift_terminal": 0.02}])
def test_all_solvers_have_the_models_levels_and_exact_times(name: str, config: dict[str, Any]) -> None:
    info = flow_info(**config)
    plain = diffusers.FlowMatchEulerDiscreteScheduler(**config)
    with quiet_diffusers():
        plain.set_timesteps(6, **timing(info, config, window_tokens(info), 6))
    made = make(name, info=info)
    assert made.timesteps.unique().equal(plain.timesteps.unique())
    assert made.level(made.timesteps[0]) == 1.0
    # Of Heun's two looks at a level both are at its time.
    assert [made.level(each) for each in made.timesteps] == pytest.approx((made.timesteps / 1000).tolist(), abs=2e-6)
    assert [made.remaining(each) for each in made.timesteps] == [made.level(each) for each in made.timesteps]


def test_the_models_own_is_as_in_its_pipeline() -> None:
    assert make(None).name == EULER
    # What solves for both kinds keeps its own levels, times and all, where the model's configuration has it so.
    own = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0, "solver_order": 3}
    for cls in ("UniPCMultistepScheduler", "DPMSolverMultistepScheduler"):
        with quiet_diffusers():
            plain = getattr(diffusers, cls)(**own)
            plain.set_timesteps(6)
        made = make(None, info=flow_info(cls, **own))
        assert made.timesteps.equal(plain.timesteps)
        assert made.config["solver_order"] == 3
        # By a name it has exact times, and the shift that the model has.
        named = make("unipc", info=flow_info(cls, **own))
        assert named.timesteps.equal(make("flow-euler").timesteps)
        assert named.config["solver_order"] == 3


def test_the_shift_is_that_of_the_window_unless_a_recipe_says() -> None:
    # arXiv 2403.03206's shift by exp(mu); the figures of Flux.1 at 1024x1024 and of a canvas of eight such windows.
    info = flow_info(**DYNAMIC)
    ends = {tokens: make("flow-euler", info=info, steps=28, tokens=tokens).timesteps[-1] for tokens in (4096, 32768)}
    assert float(ends[4096]) == pytest.approx(105, abs=1)
    assert float(ends[32768]) == pytest.approx(937, abs=2)
    assert make("flow-euler", info=info).timesteps.equal(
        make("flow-euler", info=info, tokens=window_tokens(info)).timesteps
    )
    assert window_tokens(info) == 8 * 8
    assert window_tokens(info, (100, 60)) == 7 * 4
    for name in ("flow-euler", "flow-heun", "unipc"):
        fixed = make(name, {"shift": 6}, info=info, tokens=32768)
        assert fixed.timesteps.unique().equal(make("flow-euler", {"shift": 6}).timesteps.unique())
        assert float(fixed.level(fixed.timesteps[-1])) == pytest.approx(6 / 6 / (1 + 5 / 6))
    assert float(make("flow-euler", {"max-shift": 0.5}, info=info, tokens=4096).timesteps[1]) == pytest.approx(
        float(make("flow-euler", info=info, tokens=256).timesteps[1]), abs=1e-3
    )


@pytest.mark.parametrize(("name", "options", "stochastic"), CASES)
def test_noised_latents_are_those_of_the_level_wherever_the_schedule_is(
    name: str, options: dict[str, Any], stochastic: bool
) -> None:
    scheduler, clean, noise, latents = make(name, options), randn(0), randn(1), randn(2)
    for step, timestep in enumerate(scheduler.timesteps):
        level = scheduler.level(timestep)
        for _ in range(2):
            noised = scheduler.add_noise(clean, noise, timestep)
            torch.testing.assert_close(noised, (1 - level) * clean + level * noise, rtol=0, atol=0)
        latents, _ = scheduler.step(randn(3), timestep, latents, randn(4))
        assert scheduler.starting_at(step).add_noise(clean, noise, timestep).equal(noised)


def test_the_noisiest_latents_keep_something_of_the_picture() -> None:
    clean, noise = randn(0), randn(1)
    scheduler = make("flow-euler")
    assert scheduler.add_noise(clean, noise, scheduler.timesteps[0]).equal(noise)
    kept = scheduler.noisiest(clean, noise)
    alpha = (1 + MOST_NOISE**2) ** -0.5
    torch.testing.assert_close(kept, alpha * clean + (1 - alpha**2) ** 0.5 * noise, rtol=0, atol=1e-6)
    # As much as Stable Diffusion's first timestep does, here and there.
    info = info_of("sd")
    last = make_scheduler(info, SchedulerSpec(name="ddim", options={"timestep-spacing": "trailing"}), 4, "cpu")
    torch.testing.assert_close(kept, last.noisiest(clean, noise), rtol=0, atol=1e-4)
    # A later beginning has a level that keeps enough.
    later = make("flow-euler", skipped=3)
    assert later.noisiest(clean, noise).equal(later.add_noise(clean, noise, later.timesteps[0]))
    # Of a level between, the size stays the level's.
    between = make("flow-euler", {"shift": 20}, steps=20, skipped=1)
    level = between.level(between.timesteps[0])
    assert level > MOST_NOISE / (1 + MOST_NOISE)
    zero = torch.zeros(SHAPE)
    size = (float(between.noisiest(clean, zero).norm() / clean.norm()) ** 2) + (
        float(between.noisiest(zero, noise).norm() / noise.norm()) ** 2
    )
    assert size == pytest.approx(level**2 + (1 - level) ** 2, rel=1e-5)


def test_given_noise_is_what_the_scheduler_would_have_drawn() -> None:
    for name, options, stochastic in CASES:
        if not stochastic:
            continue
        ours, theirs = make(name, options), make(name, options)._scheduler
        latents = canvas = randn(0)
        generator, drawn = torch.Generator().manual_seed(9), torch.Generator().manual_seed(9)
        for step, timestep in enumerate(ours.timesteps):
            before = drawn.get_state()
            with quiet_diffusers():
                canvas = theirs.step(randn(step), timestep, canvas, generator=drawn).prev_sample
            noise = randn(7) if drawn.get_state().equal(before) else torch.randn(SHAPE, generator=generator)
            latents, _ = ours.step(randn(step), timestep, latents, noise)
            assert latents.equal(canvas)


def test_a_schedule_may_begin_later() -> None:
    for name, options, _ in CASES:
        whole, later = make(name, options), make(name, options, skipped=2)
        assert later.timesteps.equal(whole.timesteps[2 * whole._scheduler.order :])
        latents, clean = later.noisiest(randn(1), randn(2)), randn(1)
        for timestep in later.timesteps:
            latents, _ = later.step((latents - clean) / later.level(timestep), timestep, latents, randn(3))
        torch.testing.assert_close(latents, clean, rtol=0, atol=2e-5)


def gaussian(name: str, options: dict[str, Any], steps: int) -> float:
    """The deviation of what an ideal model of N(0.5, 1) draws."""
    scheduler, x = make(name, options, steps), randn(0, (1, 4, 64, 64))
    for step, timestep in enumerate(scheduler.timesteps):
        s = scheduler.level(timestep)
        a = 1 - s
        clean = 0.5 + a / (a**2 + s**2) * (x - a * 0.5)
        x, _ = scheduler.step((x - clean) / s, timestep, x, randn(step + 1, (1, 4, 64, 64)))
    return float(x.std())


def test_only_an_sde_samples_the_models_distribution() -> None:
    """With more steps samples vary as the model says; where all noise is drawn anew they never do."""
    few = {name: gaussian(name, {}, 10) for name in ("flow-euler", "flow-euler-a", "dpm++-2m-sde", "unipc")}
    many = {name: gaussian(name, {}, 60) for name in few}
    assert all(abs(many[name] - 1) < abs(few[name] - 1) + 0.01 for name in few)
    assert all(abs(deviation - 1) < 0.07 for deviation in many.values())
    for name, options in (("flow-euler", {"stochastic-sampling": True}), ("flow-lcm", {})):
        assert gaussian(name, options, 60) < 0.75
        assert make(name, options).resamples
    assert not any(make(name).resamples for name in few)


@pytest.mark.parametrize(
    ("scheduler", "problem"),
    [
        (
            "ddim",
            "scheduler 'ddim' is for models that predict noise, and 'tiny' is a flow-matching model; use one of: ",
        ),
        ("euler", "scheduler 'euler' is for models that predict noise"),
        (
            {"flow-euler": {"s-churn": 1}},
            "scheduler 'flow-euler' has no option 's_churn'; it has: base_image_seq_len, ",
        ),
        ({"flow-heun": {"s-churn": 1}}, "scheduler 'flow-heun' has no option 's_churn'"),
        ({"unipc": {"flow-shift": 3}}, "scheduler 'unipc' has no option 'flow_shift'; did you mean 'shift'?"),
        ({"unipc": {"beta-start": 0.1}}, "scheduler 'unipc' has no option 'beta_start'"),
        ({"flow-euler": {"shift": 0}}, "scheduler 'flow-euler': 'shift' must be 0.001 to 1000, not 0"),
        ({"flow-euler": {"shift": "a"}}, "scheduler 'flow-euler': 'shift' must be a number, not 'a'"),
        (
            {"flow-euler": {"stochastic-sampling": 1}},
            "scheduler 'flow-euler': 'stochastic-sampling' must be true or false, not 1",
        ),
        (
            {"unipc-karras": {"use-beta-sigmas": True}},
            "scheduler 'unipc-karras' takes one of use-karras-sigmas, use-exponential-sigmas and use-beta-sigmas, ",
        ),
    ],
)
def test_what_a_flow_can_not_be_solved_with(scheduler: Any, problem: str) -> None:
    """In one line, and `validate` says the same without torch."""
    info, spec = replace(flow_info(), name="tiny"), SchedulerSpec.model_validate(scheduler)
    with pytest.raises(RecipeError) as made:
        make_scheduler(info, spec, 4, "cpu")
    with pytest.raises(RecipeError) as validated:
        named_scheduler(Recipe(scheduler=spec, steps=4), info)
    assert said(made) == said(validated)
    assert said(made).startswith(problem)
    assert "\n" not in said(made)


@pytest.mark.parametrize("name", FLOW_NAMES)
@pytest.mark.parametrize(("kind", "told"), [("epsilon", "noise"), ("v_prediction", "velocity (v)")])
def test_a_scheduler_of_flows_is_refused_for_other_models(name: str, kind: str, told: str) -> None:
    info = replace(info_of("sd"), name="tiny", prediction_type=kind)
    for spec, shown in ((name, f"scheduler '{name}'"), (FLOW_NAMES[name][0], f"scheduler '{FLOW_NAMES[name][0]}'")):
        with pytest.raises(RecipeError) as error:
            named_scheduler(Recipe(scheduler=SchedulerSpec(name=spec), steps=4), info)
        assert said(error).startswith(f"{shown} is for flow-matching models, and 'tiny' predicts {told}; use another, ")
    with pytest.raises(
        RecipeError, match=r"^the model's own scheduler, FlowMatch.*, is for flow-matching models, and "
    ):
        make_scheduler(replace(info, scheduler=EULER), None, 4, "cpu")


def test_whether_noise_is_drawn_is_told_without_torch() -> None:
    for name, options, stochastic in CASES:
        recipe = Recipe(scheduler=SchedulerSpec(name=name, options=options), steps=6)
        told = named_scheduler(recipe, flow_info())
        assert (told.stochastic, told.resamples) == (stochastic, make(name, options).resamples)


def test_one_step_and_many() -> None:
    for name, options, _ in CASES:
        for steps in (1, 2, 40):
            assert make(name, options, steps).broken_step is None
    with pytest.raises(RecipeError, match="'flow-euler' makes at most 10,000 steps, not 10,001"):
        make("flow-euler", steps=10_001)
    with pytest.raises(RecipeError, match="'flow-euler' has one step, and so no last one at shift-terminal; use two"):
        make("flow-euler", {"shift-terminal": 0.1}, steps=1)
