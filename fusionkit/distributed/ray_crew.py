"""The workers of a pool on Ray: started, greeted, and replaced where they die."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import (
    ActorUnschedulableError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from fusionkit.distributed.ray_worker import all_versions
from fusionkit.distributed.sharing import Hand
from fusionkit.distributed.values import Answer
from fusionkit.distributed.worker import Task
from fusionkit.errors import FusionError

LOST = (RayActorError, ObjectLostError, NodeDiedError, WorkerCrashedError, OutOfMemoryError)
"""What a call raises whose worker, or whose answer, is gone."""
# They differ from machine to machine and change no picture, or are told in other ways.
_MAY_DIFFER = ("python", "machine")


class Crew:
    """Workers that are there, and those that are on their way.

    Args:
        make: Starts a worker.
        size: How many there are to be.
        attempts: How many in a row may die before they have begun.
        told: Told in one line of those.

    Attributes:
        hands: The workers that are there, by their actors.
        starting: Those that are on their way, by what they will answer.
        versions: Those of this process, with which theirs must agree.
        lost: How many have died.
        answers: What the ones that are there have answered to what all do first.
    """

    def __init__(self, make: Callable[[], Any], size: int, attempts: int, told: Callable[[str], None]) -> None:
        self._make, self._attempts, self._told = make, attempts, told
        self._first: Sequence[Task] = ()
        self._died_early = 0
        self._unready: list[Hand] = []
        self.versions = alike(all_versions())
        self.hands: dict[Any, Hand] = {}
        self.starting: dict[Any, Hand] = {}
        self.answers: dict[Any, list[Answer]] = {}
        self.lost = 0
        self.alone_since = time.perf_counter()
        for _ in range(size):
            self.start()

    def start(self) -> None:
        """Start a worker; it does first what all do first."""
        self._begin(Hand(self._make()))

    def first(self, tasks: Sequence[Task]) -> None:
        """Have all workers do tasks before anything else, and those that start later, too."""
        everybody = [*self.hands.values(), *self.starting.values(), *self._unready]
        self._first = tasks
        self._unready.clear()
        self.hands.clear()
        self.starting.clear()
        self.answers.clear()
        self.alone_since = time.perf_counter()
        for hand in everybody:
            self._begin(hand)

    def _begin(self, hand: Hand) -> None:
        # Calls of an actor are done in their order: when it answers, it has done what it was given before.
        self.starting[hand.worker.begin.remote(self._first)] = hand

    def arrived(self, ref: Any) -> None:
        """One that was on its way has answered, or died.

        Raises:
            FusionError: Its versions are others than this process's; or several in a row have died.
            Exception: What a first task raised.
        """
        hand = self.starting.pop(ref)
        try:
            hand.about, answers = ray.get(ref)
        except RayTaskError as error:
            self._unready.append(hand)  # alive, and ready for what may be asked of all instead
            raise cause_of(error) from None
        except ActorUnschedulableError as error:
            raise FusionError(f"no machine of the cluster has room for a worker: {one_line(error)}") from None
        except LOST as error:
            self._died(error)
            return
        if different := differing(self.versions, hand.about["versions"]):
            self._unready.append(hand)
            raise FusionError(f"worker {hand.name} has {different}; install the same versions on all machines")
        self._died_early = 0
        self.hands[hand.worker], self.answers[hand.worker] = hand, answers

    def _died(self, error: RayError) -> None:
        self.lost += 1
        self._died_early += 1
        if "No module named" in str(error):
            raise FusionError(f"a machine has other packages than this one: {one_line(error)}") from None
        if "creation task" in str(error):  # it did not die of a signal, nor of memory
            raise FusionError(f"a worker can't start: {one_line(error)}") from None
        if self._died_early >= self._attempts:
            self._died_early = 0
            what = "loaded the models" if self._first else "started"
            raise FusionError(
                f"{self._attempts} workers in a row died while they {what}; memory may be short: fewer need less of it"
            ) from None
        self._told("a worker died before it was ready; another one is started")
        self.start()

    def gone(self, hand: Hand) -> None:
        """One that was there is not any more; another one is started in its place."""
        if self.hands.pop(hand.worker, None) is None:
            return
        with suppress(RayError, ValueError):  # it may only be out of reach
            ray.kill(hand.worker)
        self.answers.pop(hand.worker, None)
        self.lost += 1
        if not self.hands:
            self.alone_since = time.perf_counter()
        self.start()

    def close(self) -> None:
        """End all workers at once."""
        for hand in [*self.hands.values(), *self.starting.values(), *self._unready]:
            with suppress(RayError, ValueError):
                ray.kill(hand.worker)
        self.hands.clear()
        self.starting.clear()


def alike(versions: Mapping[str, str]) -> dict[str, str]:
    """Versions as they are compared: a package for a GPU is as good as the same one for the CPU."""
    return {name: each.partition("+")[0] for name, each in versions.items() if name not in _MAY_DIFFER}


def differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """What differs of two machines' packages, in words; empty where nothing does."""
    found = alike(theirs)
    names = [name for name in dict.fromkeys([*ours, *found]) if ours.get(name) != found.get(name)]
    return ", ".join(f"{name} {found.get(name, 'missing')}, and not {ours.get(name, 'none')}" for name in names)


def cause_of(error: RayTaskError) -> Exception:
    """What a task raised, as if it had been raised here."""
    cause = error.cause
    return cause if isinstance(cause, Exception) else FusionError(one_line(error))


def one_line(error: Exception) -> str:
    """The last line of what Ray says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
