"""What goes between a pool and its workers beside the tasks: shared values and answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
