"""Watches a run from outside: what every hook was given and answered, and whether any of it was changed in place."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import pluggy
from torch import Tensor

from fusionkit.loop.given import attributes, same_bits, tensors_in
from fusionkit.loop.hookspecs import hookimpl
from fusionkit.loop.manager import Manager
from fusionkit.loop.stage import Stage, Step
from fusionkit.plugin import Plugin


@dataclass(frozen=True)
class Answer:
    """One hook's answer, as it was when it was given.

    Args:
        hook: The hook.
        value: What was answered; tensors in it may have changed since.
        copies: Copies of its tensors.
    """

    hook: str
    value: Any
    copies: list[Tensor]


class Innermost(Plugin):
    """Sees each hook's answer before the plugins that come after it in the recipe do."""

    seen: Any

    def _see(self, hook: str, answer: Any) -> Any:
        self.seen(hook, answer)
        return answer

    @hookimpl(wrapper=True)
    def views(self) -> Generator[None, Any, Any]:
        """See the groups."""
        return self._see("views", (yield))

    @hookimpl(wrapper=True)
    def init_noise(self) -> Generator[None, Any, Any]:
        """See the noise."""
        return self._see("init_noise", (yield))

    @hookimpl(wrapper=True)
    def init_latents(self) -> Generator[None, Any, Any]:
        """See the latents."""
        return self._see("init_latents", (yield))

    @hookimpl(wrapper=True)
    def noise_prediction(self) -> Generator[None, Any, Any]:
        """See the prediction."""
        return self._see("noise_prediction", (yield))

    @hookimpl(wrapper=True)
    def fuse(self) -> Generator[None, Any, Any]:
        """See the fused prediction and noise."""
        return self._see("fuse", (yield))

    @hookimpl(wrapper=True)
    def encode(self) -> Generator[None, Any, Any]:
        """See the latents of a picture."""
        return self._see("encode", (yield))

    @hookimpl(wrapper=True)
    def step(self) -> Generator[None, Any, Any]:
        """See the next canvas."""
        return self._see("step", (yield))


class Outermost(Plugin):
    """Counts what goes through the denoisers while a group is predicted, and what does at other times."""

    passes: Any

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step) -> Generator[None, Any, Any]:
        """Count a group's."""
        self.passes.begins(stage, at)
        prediction = yield
        self.passes.ends(stage)
        return prediction

    @hookimpl
    def stage_done(self, stage: Stage) -> None:
        """Count what came after the last group."""
        self.passes.stage_ends(stage)


class Passes:
    """How many views go through a run's denoisers, of each group; the models have not been asked before.

    Its `outermost` stands in the recipe after the plugin that is watched.

    Attributes:
        counted: By stage, step, and the group's number.
        elsewhere: How many did so while no group was predicted.
    """

    def __init__(self) -> None:
        self.counted: dict[tuple[int, int, int], int] = {}
        self.elsewhere = 0
        self.outermost = Outermost(passes=self)
        self._key = (-1, -1, 0)
        self._seen = 0

    def begins(self, stage: Stage, at: Step) -> None:
        """A group is to be predicted."""
        self.elsewhere += _through(stage) - self._seen
        same_step = self._key[:2] == (stage.index, at.index)
        self._key = (stage.index, at.index, self._key[2] + 1 if same_step else 0)
        self._seen = _through(stage)

    def ends(self, stage: Stage) -> None:
        """It was."""
        self.counted[self._key] = _through(stage) - self._seen
        self._seen = _through(stage)

    def stage_ends(self, stage: Stage) -> None:
        """No group follows in this stage."""
        self.elsewhere += _through(stage) - self._seen
        self._seen = _through(stage)


def _through(stage: Stage) -> int:
    return sum(model.forward_passes for model in stage.models.values())


class Watch:
    """Keeps every answer of a run's hooks, and says what was changed that was not the changer's own.

    Its `innermost` stands in the recipe directly before the plugin that is watched.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.faults: list[str] = []
        self.passes = Passes()
        self.innermost = Innermost(seen=self._keep_inner)
        self._frames: list[list[_Kept]] = []

    def on(self, hooks: Manager) -> None:
        """Watch these hooks from now on."""
        hooks.add_hookcall_monitoring(self._before, self._after)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every floating-point tensor that a hook answered, with the hook's name."""
        for answer in self.answers:
            for tensor in answer.copies:
                if tensor.is_floating_point():
                    yield answer.hook, tensor

    def _before(self, hook: str, impls: Any, given: Any) -> None:
        self._frames.append([_Kept(f"argument '{name}'", value) for name, value in given.items()])

    def _keep_inner(self, hook: str, answer: Any) -> None:
        # A plan asks too, before anything is watched.
        if self._frames:
            self._frames[-1].append(_Kept("answer of the plugin before it", answer))

    def _after(self, outcome: pluggy.Result[Any], hook: str, impls: Any, given: Any) -> None:
        for kept in self._frames.pop():
            self.faults += [f"hook '{hook}' changed {fault}" for fault in kept.faults()]
        if outcome.exception is None:
            answer = outcome.get_result()
            self.answers.append(Answer(hook, answer, [tensor.clone() for _, tensor in tensors_in(answer)]))


class _Kept:
    """A value as it was: copies of its tensors, and which tensors its groups held."""

    def __init__(self, what: str, value: Any) -> None:
        self.what = what
        self.value = value
        self.before = [(path, tensor, tensor.clone()) for path, tensor in tensors_in(value)]
        self.held = attributes(value)

    def faults(self) -> Iterator[str]:
        for path, tensor, copy in self.before:
            # Views that were left out are NaN, and NaN is no change.
            if not bool(same_bits(tensor, copy)):
                yield f"the {self.what}{path} in place; make a new tensor"
        for path, held in attributes(self.value).items():
            if held is not self.held.get(path, held):
                yield f"the {self.what}{path}; answer a copy from dataclasses.replace"
