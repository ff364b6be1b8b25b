"""Pools hand tasks to workers; here: the threads of this process, one a device."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Protocol

from fusionkit.distributed.tasks import Answer, Shared, Task
from fusionkit.distributed.worker import Worker

Done = Callable[[int, Answer], None]
"""Told the number and the answer of a task that has ended, one at a time."""

_KEYS = itertools.count()


class Pool(Protocol):
    """Workers, and a way to give them tasks.

    Attributes:
        size: How many workers there are meant to be.
    """

    size: int

    def share(self, value: Any) -> Shared:
        """Give a value to all workers, once."""

    def prepare(self, task: Task) -> list[Answer]:
        """Have a task done by every worker before anything else, and by those that join later; answers of all there."""

    def run(self, tasks: Iterable[Task], done: Done | None = None) -> list[Answer]:
        """Do tasks, each on whichever worker is free, and answer in their order.

        An error of a task is raised as it is, once no other task is begun.

        Args:
            tasks: What is to be done.
            done: Told the number and the answer of each as it ends.
        """

    def close(self) -> None:
        """Let the workers go."""


class Threads:
    """A worker for each device of this process. No dependency, no copies; what a device loses ends the run.

    Args:
        devices: Their names, as a recipe has them; one may be named twice.
        make: Makes a worker of a device and a name.
    """

    def __init__(self, devices: Sequence[str], make: Callable[[str, str], Worker] = Worker) -> None:
        self.size = len(devices)
        self._free: SimpleQueue[Worker] = SimpleQueue()
        for number, device in enumerate(devices):
            self._free.put(make(device, f"{device} ({number})"))
        self._threads = ThreadPoolExecutor(self.size, thread_name_prefix="fusionkit")

    def share(self, value: Any) -> Shared:
        """The value itself."""
        return Shared(f"v{next(_KEYS)}", value)

    def prepare(self, task: Task) -> list[Answer]:
        """As of every pool: one worker after the other, since libraries load by way of global state."""
        workers = [self._free.get() for _ in range(self.size)]
        try:
            return [worker.do(task) for worker in workers]
        finally:
            for worker in workers:
                self._free.put(worker)

    def run(self, tasks: Iterable[Task], done: Done | None = None) -> list[Answer]:
        """As of every pool; `done` is told in the tasks' order."""
        futures = [self._threads.submit(self._one, task) for task in tasks]
        answers: list[Answer] = []
        try:
            for future in futures:
                answers.append(future.result())
                if done is not None:
                    done(len(answers) - 1, answers[-1])
            return answers
        finally:
            for future in futures:
                future.cancel()

    def _one(self, task: Task) -> Answer:
        worker = self._free.get()
        try:
            return worker.do(task)
        finally:
            self._free.put(worker)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)
