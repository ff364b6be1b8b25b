"""A run taken apart: the parts are where they should be, add up, and change nothing."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from time import perf_counter
from typing import Any

import pytest
import torch
from drawings import STEPS, drawing

from fusionkit import Fused, Plugin, Stage, hookimpl
from fusionkit.bench import measure
from fusionkit.bench.drawing import Drawing
from fusionkit.bench.measure import FORWARD, REST, Stopwatch
from fusionkit.bench.parts import AROUND, DECODING, FUSION, PARTS, SCHEDULER, TEXT, Watch, WatchedScheduler, taken_apart
from fusionkit.loop import denoise
from fusionkit.models.adapters import diffusers_model
from fusionkit.models.adapters.stable_diffusion import StableDiffusion
from fusionkit.models.schedulers.wrapper import DiffusersScheduler
from fusionkit.runs.run import execute
from fusionkit.testing.tiny import tiny_model, tiny_plan
from fusionkit_accdiffusion import DilatedSampling, ProgressiveUpscaling
from fusionkit_gvcf import GuidedFusion, VarianceCorrectedFusion
from fusionkit_multidiffusion import MultiDiffusion


class Hands:
    """A clock that stands still unless somebody lets time pass."""

    now = 100.0

    def passes(self) -> None:
        self.now += 1


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    """The clock by which the stopwatch and the models go: what takes how long is then exact, on any machine."""
    clock = Hands()
    for module in (measure, diffusers_model):
        monkeypatch.setattr(module, "perf_counter", lambda: clock.now)
    return clock


class Slow(Plugin):
    """Takes a second in one hook."""

    hook: str
    hands: Hands

    def work(self, hook: str) -> None:
        if hook == self.hook:
            self.hands.passes()

    @hookimpl(wrapper=True)
    def fuse(self) -> Generator[None, Fused, Fused]:
        self.work("fuse")
        return (yield)

    @hookimpl(wrapper=True)
    def views(self, stage: Stage) -> Generator[None, Any, Any]:
        self.work("views" if stage.model is not None else "views of the plan")
        return (yield)

    @hookimpl(wrapper=True)
    def noise_prediction(self) -> Generator[None, Any, Any]:
        self.work("noise_prediction")
        return (yield)

    @hookimpl(wrapper=True)
    def prompt_per_patch(self) -> Generator[None, Any, Any]:
        self.work("prompt_per_patch")
        return (yield)

    @hookimpl(wrapper=True)
    def step(self) -> Generator[None, Any, Any]:
        self.work("step")
        return (yield)

    @hookimpl
    def step_done(self) -> None:
        self.work("step_done")


def parts_of(subject: Drawing) -> dict[str, float]:
    with Stopwatch(torch.device("cpu")) as clock:
        subject.draw(clock)
    return clock.seconds


@pytest.mark.parametrize(
    ("hook", "part"),
    [
        ("fuse", FUSION),
        ("views", FUSION),
        ("views of the plan", REST),
        ("noise_prediction", AROUND),
        ("prompt_per_patch", AROUND),
        ("step", SCHEDULER),
        ("step_done", REST),
    ],
)
def test_a_slow_plugin_shows_up_where_it_is_slow_and_nowhere_else(hook: str, part: str, hands: Hands) -> None:
    seconds = parts_of(drawing(Slow(hook=hook, hands=hands)))
    assert seconds == {**dict.fromkeys(seconds, 0), part: STEPS}


@pytest.mark.parametrize(
    ("where", "part", "times"),
    [
        ((StableDiffusion, "encode_prompt"), TEXT, 2),  # the prompt and the empty one
        ((StableDiffusion, "conditions"), AROUND, STEPS),
        ((StableDiffusion, "decode"), DECODING, 1),
        ((DiffusersScheduler, "step"), SCHEDULER, STEPS),
        ((DiffusersScheduler, "scale_model_input"), SCHEDULER, STEPS),
        ((denoise, "gather"), FUSION, STEPS),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else None,
)
def test_what_is_asked_within_a_hook_is_told_apart(
    where: tuple[Any, str], part: str, times: int, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = getattr(*where)

    def slow(*args: Any, **kwargs: Any) -> Any:
        hands.passes()
        return plain(*args, **kwargs)

    monkeypatch.setattr(*where, slow)
    seconds = parts_of(drawing())
    assert seconds == {**dict.fromkeys(seconds, 0), part: times}


def test_the_forward_passes_are_what_the_model_tells(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = drawing()
    unet: Any = subject.model.pipe.unet  # type: ignore[attr-defined]
    plain = unet.forward

    def slow(*args: Any, **kwargs: Any) -> Any:
        hands.passes()
        return plain(*args, **kwargs)

    monkeypatch.setattr(unet, "forward", slow)
    seconds = parts_of(subject)
    assert seconds == {**dict.fromkeys(seconds, 0), FORWARD: STEPS}


def test_each_run_encodes_its_own_text(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = StableDiffusion.encode_prompt

    def slow(*args: Any) -> Any:
        hands.passes()
        return plain(*args)

    monkeypatch.setattr(StableDiffusion, "encode_prompt", slow)
    subject = drawing()
    assert [parts_of(subject)[TEXT] for _ in range(2)] == [2, 2]


def test_the_parts_add_up_to_the_whole() -> None:
    subject = drawing(MultiDiffusion(stride=40), GuidedFusion(), VarianceCorrectedFusion())
    began = perf_counter()
    with Stopwatch(torch.device("cpu")) as clock:
        subject.draw(clock)
    whole = perf_counter() - began
    assert set(clock.seconds) == set(PARTS)
    assert all(seconds >= 0 for seconds in clock.seconds.values())
    assert 0.9 * whole < clock.total <= whole


UPSCALING = (ProgressiveUpscaling(), MultiDiffusion(stride=32), DilatedSampling())


@pytest.mark.parametrize(
    ("scheduler", "plugins"),
    [(name, (MultiDiffusion(stride=32),)) for name in ("ddpm", "dpm++-2m", "euler-a", "heun")] + [("ddim", UPSCALING)],
    ids=["ddpm", "dpm++-2m", "euler-a", "heun", "upscaling"],
)
def test_a_run_that_is_watched_gives_the_same_latents(scheduler: str, plugins: tuple[Plugin, ...]) -> None:
    found = []
    for watched in (False, True):
        clock, model = Stopwatch(torch.device("cpu")), tiny_model()
        plan = tiny_plan(plugins, scheduler=scheduler, size=(128, 128))
        with clock, ExitStack() as stack:
            if watched:
                plan.hooks.register(Watch(clock=clock))
                stack.enter_context(taken_apart(plan, {"model": model}, clock))
            found.append(execute(plan, model))
        assert (SCHEDULER in clock.seconds) == watched
    assert torch.equal(*found)


def test_a_scheduler_that_starts_later_is_watched_and_starts_there(hands: Hands) -> None:
    (stage,) = tiny_plan(scheduler="euler").stages
    latents, noise = torch.ones(1, 4, 8, 8), torch.full((1, 4, 8, 8), 2.0)
    clock = Stopwatch(torch.device("cpu"))
    watched, plain = (
        scheduler.starting_at(1).step(noise, stage.steps[1].timestep, latents, noise)[0]
        for scheduler in (WatchedScheduler(stage.scheduler, clock), stage.scheduler)
    )
    assert torch.equal(watched, plain)
    assert SCHEDULER in clock.seconds
    assert not torch.equal(plain, stage.scheduler.step(noise, stage.steps[0].timestep, latents, noise)[0])


def test_models_are_left_as_they_were() -> None:
    subject = drawing()
    before = dict(vars(subject.model))
    with Stopwatch(torch.device("cpu")) as clock:
        subject.draw(clock)
    subject.note()
    assert vars(subject.model).keys() == before.keys()
    assert "decode" not in vars(subject.model)


def test_models_are_left_as_they_were_after_an_error() -> None:
    class Failing(Plugin):
        @hookimpl(wrapper=True)
        def step(self) -> Generator[None, Any, Any]:
            yield
            raise KeyboardInterrupt

    subject = drawing(Failing())
    before = set(vars(subject.model))
    with pytest.raises(KeyboardInterrupt), Stopwatch(torch.device("cpu")) as clock:
        subject.draw(clock)
    assert set(vars(subject.model)) == before
