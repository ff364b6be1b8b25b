"""What a run would cost to plan, told by arithmetic before anything is laid out: pixels, stages, steps and views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from fusionkit.recipe import limits

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Recipe


class Planned(Protocol):
    """A stage, as far as it costs."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""

    @property
    def steps(self) -> int | None:
        """Sampling steps; None is the recipe's number."""


def cost_problems(recipe: Recipe, window: tuple[int, int], stages: Sequence[Planned] = ()) -> list[str]:
    """One line for each way in which a run is larger than any that could be planned.

    Args:
        recipe: The completed recipe.
        window: The size the model was trained at, (width, height) in pixels.
        stages: The planned stages; none where they are not planned yet.
    """
    if len(stages) > limits.STAGES:
        return [f"size {_written(recipe.size)} makes {len(stages):,} stages; the most are {limits.STAGES}"]
    planned = list(dict.fromkeys([(recipe.size, None), *((stage.size, stage.steps) for stage in stages)]))
    # Where a stage is too large all later ones are, so that the largest says it for all.
    largest = max((size for size, _ in planned), key=lambda size: size[0] * size[1])
    what = f"size {_written(largest)}{'' if largest == recipe.size else ' of a stage'}"
    if (pixels := largest[0] * largest[1]) > limits.PIXELS:
        return [f"{what} has {pixels:,} pixels; the most are {limits.PIXELS:,}"]
    if (views := least_views(largest, recipe.window or window)) > limits.VIEWS:
        return [too_many_views(what, views)]
    in_all = sum(least_views(size, recipe.window or window) * (steps or recipe.steps) for size, steps in planned)
    return [problem for problem in [too_many_in_all(in_all if stages else 0)] if problem]


def least_views(size: tuple[int, int], window: tuple[int, int]) -> int:
    """How many views of a window's size, both (width, height) in pixels, side by side cover a canvas."""
    across, down = (-(-length // min(length, side)) for length, side in zip(size, window, strict=True))
    return across * down


def too_many_views(what: str, views: int) -> str:
    """The line for a step that has more views than could be laid out."""
    return f"{what} makes {views:,} views in each step; the most are {limits.VIEWS:,}"


def too_many_in_all(views: int) -> str:
    """The line for a run that has more views than could be planned; empty where it has not."""
    if views <= limits.ALL_VIEWS:
        return ""
    return f"steps: the run has at least {views:,} views in all; the most are {limits.ALL_VIEWS:,}: use fewer steps"


def _written(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
