"""A worker: one device with the models on it, that does one task after the other."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fusionkit.distributed.values import Answer, Shared

if TYPE_CHECKING:
    from collections.abc import Hashable

    from fusionkit.loop.model import Model

Kept = TypeVar("Kept")

KEPT = 16
"""So many shared values, and so many other things of one kind, are kept; a run needs a few of each."""

LOADING = threading.RLock()
"""Held while anything loads: libraries load by way of global state, and two threads at one time break each other."""


class Task(Protocol):
    """What a worker can be asked to do: a picklable value that is called with the worker."""

    def __call__(self, worker: Worker) -> Answer:
        """Do it."""


class Worker:
    """Holds what tasks need, and does them; the same class in a thread, in a process and on another machine.

    Args:
        device: Where it computes, as a recipe names it.
        name: What it is called in messages; empty makes one of the machine and the process.
        get: Fetches a shared value by its reference.
    """

    def __init__(self, device: str = "auto", name: str = "", get: Callable[[Any], Any] | None = None) -> None:
        self.device = device
        self.name = name or f"{platform.node()}:{os.getpid()}"
        self._get = get or (lambda ref: ref)
        self._kept: dict[str, dict[Hashable, Any]] = {}

    def do(self, task: Task) -> Answer:
        """Do a task, without gradients unless it asks for them itself."""
        import torch

        with torch.inference_mode():
            return task(self)

    def hello(self) -> dict[str, Any]:
        """What it is: its name, process and device, and what must be alike on all workers."""
        from fusionkit.pictures.metadata import versions

        return {"name": self.name, "pid": os.getpid(), "device": self.device, "versions": versions()}

    def fetch(self, shared: Shared) -> Any:
        """A shared value; fetched when it is first met."""
        return self.keep("shared", shared.key, lambda: self._get(shared.ref))

    def keep(self, kind: str, key: Hashable, make: Callable[[], Kept], most: int = KEPT) -> Kept:
        """What a task needs and the next one may need again, made when it is first asked for.

        Args:
            kind: What it is of, such as "fusion".
            key: Which one.
            make: Makes it.
            most: So many of this kind are kept; room is made before another one is made.
        """
        kept = self._kept.setdefault(kind, {})
        if key not in kept:
            while len(kept) >= most:
                kept.pop(next(iter(kept)))
            kept[key] = make()
        made: Kept = kept.pop(key)
        kept[key] = made  # the last one that was asked for is the last one to go
        return made

    def models(self, weights: Shared) -> Mapping[str, Model]:
        """The models of a recipe, loaded once; those of another one are let go, since two sets may not fit."""
        return self.keep("models", weights.key, lambda: self.load(weights), most=1)

    def load(self, shared: Shared) -> Mapping[str, Model]:
        """Load the models of a recipe, while nothing else of this process loads."""
        import torch

        from fusionkit.models.load import load_models

        weights = self.fetch(shared)
        with LOADING, torch.inference_mode(False):
            return load_models(weights.recipe.model_copy(update={"device": self.device}), weights.infos)
