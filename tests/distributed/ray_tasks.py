"""What the tests ask workers on Ray to do, and a pool that gets into trouble."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.distributed.pool import Done
from fusionkit.distributed.ray_pool import RayPool
from fusionkit.distributed.values import Answer, Shared
from fusionkit.distributed.worker import Task, Worker
from fusionkit.errors import RecipeError


@dataclass(frozen=True)
class Say:
    """Answers a number, and the process."""

    number: int
    seconds: float = 0.0

    def __call__(self, worker: Worker) -> Answer:
        time.sleep(self.seconds)
        return Answer((self.number, os.getpid()))


@dataclass(frozen=True)
class Refuse:
    """Fails as tasks do, with two problems at once."""

    def __call__(self, worker: Worker) -> Answer:
        raise RecipeError(["one problem", "another problem"])


@dataclass(frozen=True)
class Divide:
    """Fails as libraries do."""

    def __call__(self, worker: Worker) -> Answer:
        return Answer(1 / 0)


@dataclass(frozen=True)
class DieOnce:
    """A task whose first worker is killed as it begins with it.

    Args:
        task: The task.
        note: A file that is there once one has died.
    """

    task: Task
    note: Path

    def __call__(self, worker: Worker) -> Answer:
        try:
            self.note.touch(exist_ok=False)
        except FileExistsError:
            return self.task(worker)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class Troubled:
    """A pool in which something happens while tasks are out.

    Args:
        pool: The pool.
        trouble: Called after each answer, with the numbers of the run and of the answer.
        loading: Where it is noted that a worker has died as it loads; None lets none.
    """

    def __init__(self, pool: RayPool, trouble: Callable[[int, int], Any], loading: Path | None = None) -> None:
        self.pool, self.size, self.device = pool, pool.size, pool.device
        self._trouble, self._loading, self._runs = trouble, loading, 0

    def share(self, value: Any) -> Shared:
        return self.pool.share(value)

    def prepare(self, task: Task) -> list[Answer]:
        return self.pool.prepare(task if self._loading is None else DieOnce(task, self._loading))

    def run(self, tasks: Iterable[Task], done: Done | None = None) -> list[Answer]:
        tasks, run, answered = list(tasks), self._runs, 0
        self._runs += len(tasks) > 1

        def told(number: int, answer: Answer) -> None:
            nonlocal answered
            answered += 1
            if done is not None:
                done(number, answer)
            if len(tasks) > 1:
                self._trouble(run, answered)

        return self.pool.run(tasks, told)

    def close(self) -> None:
        self.pool.close()


@contextmanager
def only_one(pool: RayPool) -> Iterator[None]:
    """Within the block one of a pool's workers gets nothing to do."""
    hands = pool.crew.hands
    actor, hand = hands.popitem()
    try:
        yield
    finally:
        hands[actor] = hand


class Lent(RayPool):
    """A pool that somebody else closes."""

    def __init__(self, pool: RayPool) -> None:
        self.__dict__ = pool.__dict__

    def close(self) -> None:
        """It is lent."""


def kill(pool: RayPool, count: int, how: int = 9) -> list[int]:
    """Kill so many of a pool's workers, or send them another signal, and return their processes."""
    pids = [worker["pid"] for worker in pool.workers][:count]
    for pid in pids:
        os.kill(pid, how)
    return pids
