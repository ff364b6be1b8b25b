"""What workers are asked to do: every task is a picklable value, and its answer depends on nothing else.

So a task may be done twice, or by another worker than the one it was first given to, and nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fusionkit.distributed.worker import Worker
    from fusionkit.loop.model import ModelInfo
    from fusionkit.recipe.recipe import Recipe


@dataclass
class Answer:
    """What a task gave, and what it cost.

    Args:
        value: The answer; tensors are on the CPU.
        passes: Views that went through a denoiser.
        seconds: Spent in the denoiser.
        largest: Most views that went through a denoiser together.
    """

    value: Any
    passes: int = 0
    seconds: float = 0.0
    largest: int = 0


class Task(Protocol):
    """What a worker can be asked to do: a picklable value that is called with the worker."""

    def __call__(self, worker: Worker) -> Answer:
        """Do it."""


@dataclass(frozen=True)
class Shared:
    """A value that was given to a pool once; a worker fetches it when it first meets it, and keeps it for a while.

    Args:
        key: Names it among all values of the pool.
        ref: By which a worker gets it.
    """

    key: str
    ref: Any = field(repr=False)


@dataclass(frozen=True)
class Weights:
    """What a worker must load: a recipe without its plugins, and what is known of its models by name."""

    recipe: Recipe
    infos: Mapping[str, ModelInfo]


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
