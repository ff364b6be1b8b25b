"""A worker in a process of Ray's: one actor, with a device of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import ray

from fusionkit.distributed.values import Answer
from fusionkit.distributed.worker import Task, Worker
from fusionkit.errors import FusionError, RecipeError


class RayWorker(Worker):
    """A worker that fetches shared values from Ray's object store, which holds each once a machine.

    Args:
        device: Where it computes; a worker sees no GPUs but its own, so that "cuda" is that.
    """

    def __init__(self, device: str) -> None:
        super().__init__(device, get=ray.get)

    def begin(self, tasks: Sequence[Task]) -> tuple[dict[str, Any], list[Answer]]:
        """Say what it is, and do what every worker does first.

        Raises:
            Exception: As a task raises it, such that it can be sent.
        """
        import torch  # noqa: F401 - it takes seconds, for which no task shall look late

        try:
            return self.hello(), [self.do(task) for task in tasks]
        except Exception as error:  # noqa: BLE001 - it is raised again, on the other side
            raise sendable(error) from None

    def do_all(self, tasks: Sequence[Task]) -> tuple[list[Answer], float]:
        """Do several tasks, and say how many seconds they took.

        Raises:
            Exception: As a task raises it, such that it can be sent.
        """
        began = time.perf_counter()
        try:
            return [self.do(task) for task in tasks], time.perf_counter() - began
        except Exception as error:  # noqa: BLE001 - it is raised again, on the other side
            raise sendable(error) from None

    def hello(self) -> dict[str, Any]:
        """As of every worker, with the versions of Ray and of all packages that offer plugins."""
        told = super().hello()
        return {**told, "versions": {**told["versions"], **all_versions()}}


def all_versions() -> dict[str, str]:
    """The versions that must be alike on all machines: what computes, and every package that offers plugins."""
    from fusionkit.foreign import version_of
    from fusionkit.pictures.metadata import versions
    from fusionkit.registry import offered, package_of

    packages = dict.fromkeys(package_of(entry) for entry in offered().values())
    return {**versions(), "ray": ray.__version__, **{name: version_of(name) for name in packages}}


def sendable(error: Exception) -> Exception:
    """An error as it can be pickled: what it says, of its own kind, without what it holds."""
    if isinstance(error, RecipeError):
        return type(error)(error.problems)
    if isinstance(error, FusionError):
        return type(error)(*map(str, error.args))
    return error
