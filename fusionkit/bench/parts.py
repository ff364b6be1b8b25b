"""Takes a run apart into what the loop asks for, from outside: the loop knows of no clock."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from fusionkit.bench.measure import FORWARD, REST, Stopwatch
from fusionkit.loop.hookspecs import hookimpl
from fusionkit.loop.stage import Fused, Patches, Prompt, Stage
from fusionkit.plugin import Plugin

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.model import Model
    from fusionkit.loop.scheduler import Scheduler
    from fusionkit.runs.plan import RunPlan

AROUND, TEXT, FUSION, SCHEDULER, DECODING = "around-the-passes", "text-encoding", "fusion", "scheduler", "decoding"

PARTS: Mapping[str, str] = {
    FORWARD: "forward passes",
    AROUND: "around the passes",
    TEXT: "text encoding",
    FUSION: "fusion",
    SCHEDULER: "scheduler",
    DECODING: "decoding",
    REST: "everything else",
}
"""The parts of a run, in the order of the table, and what the table calls them."""


class Watch(Plugin):
    """Tells a stopwatch which hook is at work; it wraps all other plugins and changes no answer."""

    clock: Stopwatch

    @hookimpl(wrapper=True)
    def views(self, stage: Stage) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        """Choosing views is fusion, and so is cutting them out, which the loop does between this hook and `fuse`."""
        if stage.model is None:  # asked while the run is planned
            return (yield)
        with self.clock.part(FUSION):
            groups = yield
        self.clock.between(FUSION)
        return groups

    @hookimpl(wrapper=True)
    def prompt_per_patch(self) -> Generator[None, Sequence[str | Prompt], Sequence[str | Prompt]]:
        """What a method does to the prompts."""
        with self.clock.part(AROUND):
            return (yield)

    @hookimpl(wrapper=True)
    def noise_prediction(self) -> Generator[None, Tensor, Tensor]:
        """Batches, guidance, and what a method does around the passes."""
        with self.clock.part(AROUND):
            return (yield)

    @hookimpl(wrapper=True)
    def fuse(self) -> Generator[None, Fused, Fused]:
        """Putting the views together."""
        with self.clock.part(FUSION):
            fused = yield
        self.clock.between(REST)
        return fused

    @hookimpl(wrapper=True)
    def step(self) -> Generator[None, Tensor, Tensor]:
        """The scheduler's step, with the noise that is drawn for it."""
        with self.clock.part(SCHEDULER):
            return (yield)


class WatchedScheduler:
    """A scheduler as it is, but a stopwatch is told when it computes."""

    def __init__(self, scheduler: Scheduler, clock: Stopwatch) -> None:
        self._scheduler, self._clock = scheduler, clock

    def __getattr__(self, name: str) -> Any:
        answer = getattr(self._scheduler, name)
        if name in ("step", "scale_model_input", "add_noise", "noisiest"):
            return watched(answer, SCHEDULER, self._clock)
        return answer

    def starting_at(self, index: int) -> WatchedScheduler:
        """A scheduler of its own with the same timesteps, watched as well."""
        return WatchedScheduler(self._scheduler.starting_at(index), self._clock)


def watched(function: Callable[..., Any], part: str, clock: Stopwatch) -> Callable[..., Any]:
    """A function whose time counts for a part."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with clock.part(part):
            return function(*args, **kwargs)

    return call


@contextmanager
def replaced(thing: object, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """While the block runs, one object's method is another one; afterwards the object is as it was."""
    setattr(thing, name, function)
    try:
        yield
    finally:
        delattr(thing, name)


@contextmanager
def taken_apart(plan: RunPlan, models: Mapping[str, Model], clock: Stopwatch) -> Iterator[None]:
    """While a plan is executed, schedulers and models tell the stopwatch what they do; its hooks do by `Watch`."""
    clock.follow(models.values())
    with ExitStack() as stack:
        for stage in plan.stages:
            stage.scheduler = WatchedScheduler(stage.scheduler, clock)
        for model in models.values():
            for name, part in (("encode_prompt", TEXT), ("decode", DECODING)):
                # Whether an adapter encodes text in a method of this name is its own business.
                if hasattr(model, name):
                    stack.enter_context(replaced(model, name, watched(getattr(model, name), part, clock)))
        yield
