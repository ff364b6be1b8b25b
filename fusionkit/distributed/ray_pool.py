"""Workers as actors of Ray: on this machine, or on all machines of a cluster. What is lost is done again elsewhere."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fusionkit.distributed.pool import Done
from fusionkit.distributed.ray_session import end_session, open_session
from fusionkit.distributed.sharing import Call, Fault, Hand, Sharing, over
from fusionkit.distributed.values import Answer, Shared
from fusionkit.distributed.worker import Task
from fusionkit.errors import FusionError

_KEYS = itertools.count()
_LOOK = 0.25
"""Seconds after which it is looked again whether a task is late."""
_JOIN = 20.0
"""Seconds that whoever is ready waits for the others before the first task."""


class RayPool:
    """Actors that hold the models, each with a device of its own.

    A task of a worker that dies goes to another one, and a new worker is started in its place. A task that takes far
    longer than its like is given to a worker that has nothing to do, too, and the first answer counts.

    Args:
        size: How many workers; None is one for each GPU, or for each core where there is none.
        cluster: The address of a cluster that runs already, `HOST:PORT`, or `auto` for the one that this machine is a
            part of; None starts Ray on this machine.
        device: What workers compute on, as a recipe names it, without a number.
        gpus: GPUs of a worker, which may be a part of one; None gives each as much as there is for all.
        ahead: How many calls a worker has at a time: with 2 the next one travels while one is computed.
        attempts: How many workers may die of one task before it counts as the task's fault.
        patience: Seconds to wait for a worker where none is left, and for one that is stuck before it is replaced.
        backups: Whether late tasks are done twice.
        insecure: Whether a cluster may be used that asks for no token.
        told: Told in one line what happens to workers; None prints it to standard error.

    Attributes:
        size: How many workers there are meant to be.
        patience: As it was given.
        device: Where the canvas is while workers predict: this process' own GPU where there is one.
        repeated: Tasks that were given again, since their worker died or was late.
        given: Calls.

    Raises:
        RecipeError: Ray is not installed, the cluster can't be used, or there is no place for so many workers.
    """

    def __init__(
        self,
        size: int | None = None,
        *,
        cluster: str | None = None,
        device: str = "auto",
        gpus: float | None = None,
        ahead: int = 2,
        attempts: int = 3,
        patience: float = 300.0,
        backups: bool = True,
        insecure: bool = False,
        told: Callable[[str], None] | None = None,
    ) -> None:
        self._ours, self._closed = open_session(cluster, size or 1, insecure=insecure), False
        from fusionkit.distributed.ray_crew import Crew
        from fusionkit.distributed.ray_places import maker

        self._told = told or _note
        self._how: dict[str, Any] = {"ahead": ahead, "attempts": attempts, "backups": backups}
        self.patience = patience
        self.device = "cpu" if device == "cpu" else "auto"
        self.repeated = self.given = 0
        self._calls: dict[Any, Call] = {}
        self._in_vain: dict[Any, float] = {}
        self._crew: Crew | None = None
        try:
            make, self.size = maker(size, device, gpus)
            self._crew = Crew(make, self.size, attempts, self._told)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def crew(self) -> Any:
        """Who works.

        Raises:
            FusionError: The pool is closed.
        """
        if self._crew is None:
            raise FusionError("the pool of workers is closed; make another one")
        return self._crew

    @property
    def lost(self) -> int:
        """How many workers have died."""
        return 0 if self._crew is None else self._crew.lost

    @property
    def workers(self) -> list[Mapping[str, Any]]:
        """What each worker that is there has said of itself: its name, process, device and versions."""
        return [hand.about for hand in self.crew.hands.values()]

    def share(self, value: Any) -> Shared:
        """Put it into the object store: once for each machine, whatever the number of its workers."""
        import ray

        return Shared(f"r{next(_KEYS)}", ray.put(value))

    def prepare(self, task: Task) -> list[Answer]:
        """As of every pool: all workers at one time, and those that start later as they start.

        Raises:
            FusionError: No worker has come within `patience`, or they die of it.
            Exception: As the task raised it.
        """
        self.crew.first([task])
        try:
            self._gather()
        except Exception:
            self.crew.first([])
            raise
        return [answers[0] for answers in self.crew.answers.values()]

    def ready(self) -> int:
        """Wait until the workers are there, though not long for those that are late; answers how many are.

        Raises:
            FusionError: None has come within `patience`, or they die as they start.
        """
        self._gather()
        return len(self.crew.hands)

    def run(self, tasks: Iterable[Task], done: Done | None = None) -> list[Answer]:
        """As of every pool.

        Raises:
            FusionError: A task has killed as many workers as it may; or no worker is left, and none comes.
            Exception: As a task raised it.
        """
        tasks = list(tasks)
        sharing = Sharing([type(task) for task in tasks], **self._how)
        answers: dict[int, Answer] = {}

        def answered(number: int, answer: Answer) -> None:
            answers[number] = answer
            if done is not None:
                done(number, answer)

        try:
            while sharing.left:
                self._give(sharing, tasks)
                self._take(sharing, tasks, answered)
        except Fault as fault:
            (number,) = fault.args
            died = f"{self._how['attempts']} workers died of {named(tasks[number])}, one after the other"
            raise FusionError(f"{died}; memory may be short, or a library fails") from None
        finally:
            sharing.given_up()
        return [answers[number] for number in range(len(tasks))]

    def close(self) -> None:
        """End the workers at once, which frees their memory, and Ray if it was started for them."""
        if self._closed:
            return
        self._closed = True
        self._calls.clear()
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.close()
        if self._ours:
            end_session()

    def _give(self, sharing: Sharing, tasks: Sequence[Task]) -> None:
        while (call := sharing.next(self.crew.hands.values())) is not None:
            ref = call.hand.worker.do_all.remote([tasks[number] for number in call.numbers])
            self._calls[ref] = call
            self.given += 1
            self.repeated += call.again

    def _take(self, sharing: Sharing, tasks: Sequence[Task], answered: Done) -> None:
        """Wait until somebody answers, or until it is time to look for late ones, and note what came."""
        for ref in self._waited([*self._calls, *self.crew.starting]):
            if ref in self.crew.starting:
                self.crew.arrived(ref)
            elif ref in self._calls:  # not if its worker was lost with another one
                self._answer(ref, sharing, tasks, answered)
        self._end_stuck(sharing, tasks)

    def _answer(self, ref: Any, sharing: Sharing, tasks: Sequence[Task], answered: Done) -> None:
        import ray
        from ray.exceptions import RayTaskError

        from fusionkit.distributed.ray_crew import LOST, cause_of

        call = self._calls.pop(ref)
        try:
            found, seconds = ray.get(ref)
        except RayTaskError as error:
            sharing.over(call)
            if call.wanted:
                raise cause_of(error) from None
        except LOST:
            self._lose(call.hand, sharing, tasks)
        else:
            if not call.wanted:
                over(call, time.perf_counter())
                return
            new = set(sharing.ended(call, seconds))
            for number, answer in zip(call.numbers, found, strict=True):
                if number in new:
                    answered(number, answer)

    def _end_stuck(self, sharing: Sharing, tasks: Sequence[Task]) -> None:
        """Replace workers that have been at something for `patience` seconds since nobody waits for it any more."""
        now = time.perf_counter()
        for hand in list(self.crew.hands.values()):
            if not hand.calls or sharing.waits_for(hand.calls[0]):
                self._in_vain.pop(hand.worker, None)
            elif now - self._in_vain.setdefault(hand.worker, now) > self.patience:
                del self._in_vain[hand.worker]
                self._lose(hand, sharing, tasks, "does not answer")

    def _lose(self, hand: Hand, sharing: Sharing, tasks: Sequence[Task], how: str = "died") -> None:
        """A worker is gone: what it had is done again, and another one is started."""
        self._calls = {ref: call for ref, call in self._calls.items() if call.hand is not hand}
        self.crew.gone(hand)
        again = sharing.lost(hand)
        self.repeated += len(again)
        repeated = f"{counted([tasks[number] for number in again])} again" if again else "another one is started"
        self._told(f"worker {hand.name} {how}; {repeated}")

    def _gather(self) -> None:
        """Until all workers are there, or some of them for a while.

        Raises:
            FusionError: None has come within `patience`.
        """
        since: float | None = None
        while self.crew.starting:
            for ref in self._waited([*self.crew.starting]):
                self.crew.arrived(ref)
            if self.crew.hands:
                since = time.perf_counter() if since is None else since
                if time.perf_counter() - since > _JOIN:
                    return

    def _waited(self, refs: Sequence[Any]) -> Sequence[Any]:
        """What of some references is answered, after a while at most.

        Raises:
            FusionError: Nobody works, and nobody has come for `patience` seconds.
        """
        import ray

        ready, _ = ray.wait(list(refs), num_returns=1, timeout=_LOOK)
        if not ready and not self.crew.hands and time.perf_counter() - self.crew.alone_since > self.patience:
            raise FusionError(
                f"no worker has come for {self.patience:g} s, of the {self.size} that were asked for; "
                "the machines may be full, or out of reach"
            )
        found: Sequence[Any] = ready
        return found


def named(task: Task) -> str:
    """What a task is called in messages."""
    return str(getattr(task, "title", "") or f"a task ({type(task).__name__})")


def counted(tasks: Sequence[Task]) -> str:
    """`2 pictures are drawn`, `1 task is done`: by what tasks say of themselves."""
    noun, verb = getattr(tasks[0], "noun", "task"), getattr(tasks[0], "verb", "done")
    count = sum(getattr(task, "count", 1) for task in tasks)
    return f"{count} {noun}{' is' if count == 1 else 's are'} {verb}"


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)
