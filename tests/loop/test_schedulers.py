"""Any scheduler by any of the four plugins: coverage, constants, variance, one call a step, fusing before stepping."""

from __future__ import annotations

import copy
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import pytest
import torch
from flow_plans import flow_plan
from torch import Tensor

from fusionkit import Fused, Patches, Plugin, RecipeError, Stage, Step, hookimpl
from fusionkit.loop.canvas import WeightedMean, gather
from fusionkit.loop.denoise import denoise
from fusionkit.models.schedulers.make import make_scheduler
from fusionkit.testing import tiny_plan
from fusionkit_gvcf import GuidedFusion, StyleAlignment, VarianceCorrectedFusion
from fusionkit_multidiffusion import MultiDiffusion

ODE = ["ddim", "euler", "heun", "kdpm2"]
MULTISTEP = ["dpm++-2m-karras", "dpm++-2s", "deis", "unipc", "pndm"]
SDE = ["ddpm", "ddim-eta", "euler-a", "kdpm2-a", "lcm", "tcd", "dpm++-2m-sde", "sasolver", "edm-euler"]
DETERMINISTIC = [*ODE, *MULTISTEP]
FLOW_ODE = ["flow-euler", "flow-heun", "flow: unipc", "flow: dpm++-2m"]
FLOW_SDE = ["flow-euler-a", "flow: dpm++-2m-sde"]
RESAMPLING = ["flow-lcm", "flow-stochastic"]
FLOWS = [*FLOW_ODE, *FLOW_SDE, *RESAMPLING]
WITH_OPTIONS: dict[str, Any] = {
    "ddim-eta": {"ddim": {"eta": 1.0}},
    "edm-euler": {"edm-euler": {"s_churn": 10.0}},
    "flow-stochastic": {"flow-euler": {"stochastic-sampling": True}},
    **{name: name.removeprefix("flow: ") for name in FLOWS if ": " in name},
}

STEPS = 4
"""More than any scheduler's history."""

METHODS = ["multidiffusion", "gf", "vcf", "sa", "all"]
PAIRS = [
    (method, scheduler)
    for method in METHODS
    for scheduler in [*DETERMINISTIC, *SDE, *FLOWS]
    if scheduler in (*SDE, *FLOW_SDE) or method not in ("vcf", "all")
]


def plugins_of(method: str, jitter: int = 0, reference: Any = "random") -> list[Plugin]:
    found: list[Plugin] = [MultiDiffusion(stride=48, jitter=jitter)]
    if method in ("sa", "all"):
        found.insert(0, StyleAlignment(reference=reference))
    if method in ("gf", "all"):
        found.append(GuidedFusion())
    if method in ("vcf", "all"):
        found.append(VarianceCorrectedFusion())
    return found


class Model(Plugin):
    """In place of the model: a prediction that differs from view to view, or one value everywhere."""

    value: float | None = None

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        if self.value is not None:
            return torch.full_like(patches.latents, self.value * (1 + at.index))
        return stage.noise("model", tuple(patches.latents.shape), at) + 0.1 * patches.latents


class Still(Plugin):
    """A constant canvas to start from, and constant noise: whatever is not constant, fusing put there."""

    @hookimpl
    def init_noise(self, stage: Stage) -> Tensor:
        return torch.full(stage.shape, 0.5)

    @hookimpl(wrapper=True)
    def fuse(self) -> Generator[None, Fused, Fused]:
        fused = yield
        return replace(fused, noise=torch.full_like(fused.prediction, -0.2))


@dataclass
class Call:
    """One call of the scheduler, and what was fused for it."""

    prediction: Tensor
    timestep: Tensor
    latents: Tensor
    noise: Tensor
    following: Tensor
    groups: Sequence[Patches] = ()


@dataclass
class Spy:
    """A scheduler that keeps its calls."""

    scheduler: Any
    calls: list[Call] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scheduler, name)

    def step(self, prediction: Tensor, timestep: Tensor, latents: Tensor, noise: Tensor) -> Any:
        following, denoised = self.scheduler.step(prediction, timestep, latents, noise)
        self.calls.append(Call(prediction, timestep, latents, noise, following))
        return following, denoised


class Groups(Plugin):
    """Keeps the groups of every step."""

    kept: Any

    @hookimpl(wrapper=True)
    def fuse(self, groups: Sequence[Patches]) -> Generator[None, Fused, Fused]:
        self.kept.append(groups)
        return (yield)


def run(plugins: list[Plugin], scheduler: str, size: tuple[int, int], **fields: Any) -> tuple[Stage, list[Call]]:
    """A whole run without a model; answers its stage and every call of the scheduler."""
    groups: list[Sequence[Patches]] = []
    spec = WITH_OPTIONS.get(scheduler, scheduler)
    made = flow_plan if scheduler in FLOWS else tiny_plan
    plan = made([*plugins, Groups(kept=groups)], scheduler=spec, size=size, **{"steps": STEPS, **fields})
    (stage,) = plan.stages
    stage.scheduler = spy = Spy(stage.scheduler)
    denoise(stage, plan.hooks)
    assert len(spy.calls) == len(stage.steps), "one call of the scheduler a step, whatever the number of views"
    for call, fused in zip(spy.calls, groups, strict=True):
        call.groups = fused
    return stage, spy.calls


@lru_cache
def small(method: str, scheduler: str) -> tuple[Stage, list[Call]]:
    """A run of six views."""
    return run([*plugins_of(method), Model()], scheduler, (160, 80))


@pytest.mark.parametrize("scheduler", DETERMINISTIC)
@pytest.mark.parametrize("method", ["vcf", "all"])
def test_vcf_with_a_deterministic_scheduler_is_one_line(method: str, scheduler: str) -> None:
    with pytest.raises(RecipeError, match=r"draws no noise, so there is no variance to correct; use .* ddpm") as error:
        tiny_plan(plugins_of(method), scheduler=scheduler, steps=6)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("scheduler", [*FLOW_ODE, *RESAMPLING])
def test_vcf_with_a_flow_that_solves_no_sde_is_one_line(scheduler: str) -> None:
    why = (
        "draws no noise, so" if scheduler in FLOW_ODE else "throws all noise away at each step and draws it anew, which"
    )
    with pytest.raises(RecipeError, match=rf"{why} .* use .*flow-euler-a or dpm\+\+-2m-sde, or leave the") as error:
        flow_plan(plugins_of("vcf"), scheduler=WITH_OPTIONS.get(scheduler, scheduler), steps=6)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("scheduler", DETERMINISTIC)
def test_averaged_noise_with_a_deterministic_scheduler_is_one_line(scheduler: str) -> None:
    with pytest.raises(RecipeError, match="noise 'averaged' needs a scheduler whose steps draw noise") as error:
        tiny_plan([MultiDiffusion(noise="averaged")], scheduler=scheduler, steps=6)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(("method", "scheduler"), PAIRS)
def test_a_constant_field_stays_constant(method: str, scheduler: str) -> None:
    # Moved views at every step, all of the canvas covered, and a reference that is constant as well.
    plugins = plugins_of(method, jitter=8, reference=torch.full((4, 8, 8), 0.5))
    _, calls = run([*plugins, Model(value=0.3), Still()], scheduler, (168, 104))
    for call in calls:
        assert float(WeightedMean(call.groups, call.latents).coverage.min()) > 0
        spread = call.following.amax(dim=(-2, -1)) - call.following.amin(dim=(-2, -1))
        assert float(spread.max()) <= 1e-5 * max(1.0, float(call.following.abs().max()))


@pytest.mark.parametrize(("method", "scheduler"), [(m, s) for m, s in PAIRS if s in (*SDE, *FLOW_SDE, *RESAMPLING)])
def test_the_noise_of_the_fused_canvas_has_variance_1(method: str, scheduler: str) -> None:
    _, calls = run([*plugins_of(method), Model(value=0.0)], scheduler, (512, 320), steps=10)
    power = torch.cat([call.noise for call in calls]).square().mean()
    assert abs(float(power) - 1) < 0.02


@pytest.mark.parametrize("scheduler", [*SDE, *FLOW_SDE])
@pytest.mark.parametrize("views", [1, 2, 4])
def test_averaged_noise_has_variance_1_over_the_number_of_views(scheduler: str, views: int) -> None:
    plugins = [MultiDiffusion(stride=64, noise="averaged"), Repeated(times=views), Model(value=0.0)]
    _, calls = run(plugins, scheduler, (512, 320), steps=10)
    power = torch.cat([call.noise for call in calls]).square().mean()
    assert abs(float(power) * views - 1) < 0.02


class Repeated(Plugin):
    """Every view several times: views of equal weight."""

    times: int

    @hookimpl(wrapper=True)
    def views(self) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        return [replace(patches, views=patches.views * self.times) for patches in (yield)]


@pytest.mark.parametrize(("method", "scheduler"), PAIRS)
def test_fusing_before_stepping_is_stepping_before_fusing(method: str, scheduler: str) -> None:
    stage, calls = small(method, scheduler)
    # As the papers do it: a scheduler for each view, whose history is that view's alone.
    first = make_scheduler(stage.info, stage.recipe.scheduler, STEPS, "cpu")
    own = [copy.deepcopy(first) for _ in calls[0].groups[0].views]
    for call in calls:
        (patches,) = call.groups
        latents, noise = gather(call.latents, patches.views), gather(call.noise, patches.views)
        stepped = []
        for each, prediction, x, z in zip(own, patches.prediction, latents, noise, strict=True):
            each.scale_model_input(x[None], call.timestep)
            stepped.append(each.step(prediction[None], call.timestep, x[None], z[None])[0])
        fused = WeightedMean(call.groups, call.latents)([torch.cat(stepped)])
        scale = max(1.0, float(call.following.abs().max()))
        assert float((fused - call.following).abs().max()) <= 1e-5 * scale


@pytest.mark.parametrize("scheduler", [*SDE, *FLOW_SDE])
def test_a_stochastic_step_uses_the_fused_noise(scheduler: str) -> None:
    stage, calls = small("vcf", scheduler)
    used = 0
    twin = make_scheduler(stage.info, stage.recipe.scheduler, STEPS, "cpu")
    for call in calls:
        twin.scale_model_input(call.latents, call.timestep)
        quiet = copy.deepcopy(twin)
        without, _ = quiet.step(call.prediction, call.timestep, call.latents, torch.zeros_like(call.noise))
        following, _ = twin.step(call.prediction, call.timestep, call.latents, call.noise)
        assert following.equal(call.following)
        difference = following - without
        if float(difference.abs().max()) > 1e-4:
            used += 1
            factor = (difference * call.noise).sum() / call.noise.square().sum()
            assert float((difference - factor * call.noise).abs().max()) <= 1e-4 * max(1.0, float(factor.abs()))
    assert used > 0


def test_the_matrix_is_as_large_as_promised() -> None:
    specs = [WITH_OPTIONS.get(each, each) for each in [*DETERMINISTIC, *SDE]]
    assert len({tiny_plan(scheduler=spec, steps=6).stages[0].scheduler.name for spec in specs}) >= 12
