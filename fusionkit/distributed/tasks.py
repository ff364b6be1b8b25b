"""What workers are asked to do: every task is a picklable value, and its answer depends on nothing else.

So a task may be done twice, or by another worker than the one it was first given to, and nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fusionkit.distributed.values import Answer as Answer
from fusionkit.distributed.values import Shared as Shared
from fusionkit.distributed.values import Weights as Weights
from fusionkit.distributed.worker import Task as Task
from fusionkit.distributed.worker import Worker


@dataclass(frozen=True)
class Load:
    """Load the models before the first batch; workers that join later begin with it, too."""

    weights: Shared

    def __call__(self, worker: Worker) -> Answer:
        """Load them; the answer is what they are, by name: fingerprint, type, and what was found out of them."""
        models = worker.models(self.weights)
        return Answer({name: model.fingerprint for name, model in models.items()})


@dataclass(frozen=True)
class Call:
    """One method of one model, on one worker: `encode`, `decode`."""

    weights: Shared
    name: str
    method: str
    arguments: tuple[Any, ...] = field(repr=False)

    def __call__(self, worker: Worker) -> Answer:
        """Call it."""
        value = getattr(worker.models(self.weights)[self.name], self.method)(*self.arguments)
        return Answer(value.cpu() if hasattr(value, "cpu") else value)
