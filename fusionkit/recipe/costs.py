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
    problems, in_all = [], 0
    for size, steps in dict.fromkeys([(recipe.size, None), *((stage.size, stage.steps) for stage in stages)]):
        width, height = size
        if width * height > limits.PIXELS:
            problems.append(f"size {_written(size)} has {width * height:,} pixels; the most are {limits.PIXELS:,}")
            continue
        views = least_views(size, recipe.window or window)
        asked = steps or recipe.steps
        if views > limits.VIEWS:
            problems.append(too_many_views(f"size {_written(size)}", views))
        in_all += views * asked if stages else 0
    return problems or [problem for problem in [too_many_in_all(in_all)] if problem]


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
