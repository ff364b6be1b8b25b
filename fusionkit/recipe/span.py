"""A span of a stage's steps, as an option says it: where something begins and ends to act, in shares of the steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from fusionkit.recipe.values import Number

Start = Annotated[
    Number, Field(ge=0, le=1, description="Where in a stage's steps it begins to act: 0 is the first step.")
]
End = Annotated[
    Number, Field(ge=0, le=1, description="Where in a stage's steps it ends to act: 1 is after the last step.")
]


def within(start: float, end: float, index: int, total: int) -> bool:
    """Whether step number `index` of `total`, from 0, lies wholly in a span, as in diffusers' pipelines."""
    return index / total >= start and (index + 1) / total <= end


def span_problems(start: float, end: float, steps: int) -> Iterator[str]:
    """One line where a span holds none of so many steps."""
    if start >= end:
        yield f"start {start:g} is not before end {end:g}"
    elif not any(within(start, end, index, steps) for index in range(steps)):
        yield f"no step lies between start {start:g} and end {end:g} of {steps} steps; move them apart"
