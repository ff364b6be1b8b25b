"""Whether a model can draw sizes, and a stage has steps: told by arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Recipe


class Grid(Protocol):
    """A model, as far as sizes must fit it."""

    @property
    def name(self) -> str:
        """As the recipe names it."""

    @property
    def factor(self) -> int:
        """Pixels of the picture along one side of a latent pixel."""

    @property
    def patch(self) -> int:
        """Latent pixels along one side of what the model takes for one token."""


class Planned(Protocol):
    """A stage, as far as its size and its steps are planned."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """(width, height) at which a picture that stands in for the stage before is encoded; None is the stage's."""

    @property
    def steps(self) -> int | None:
        """Sampling steps; None is the recipe's number."""

    @property
    def strength(self) -> float | None:
        """The share of the steps that are taken; None is all."""

    def skipped(self, steps: int) -> int:
        """How many of so many sampling steps are not taken."""


def size_problems(recipe: Recipe, info: Grid, stages: Sequence[Planned] = ()) -> list[str]:
    """One line for each size that is no whole number of the model's tokens, or of its latent pixels."""
    sizes = [("size", recipe.size), *((f"size of stage '{s.name}'", s.size) for s in stages)]
    sizes += [(f"picture size of stage '{s.name}'", s.picture_size) for s in stages if s.picture_size is not None]
    if recipe.window is not None:
        sizes.append(("window", recipe.window))
    factor, problems = info.factor * info.patch, []
    for what, (width, height) in dict(sizes).items():
        if width % factor or height % factor:
            near = f"{max(1, round(width / factor)) * factor}x{max(1, round(height / factor)) * factor}"
            problems.append(f"{what} {width}x{height} is not divisible by {factor}, as {info.name} needs; try {near}")
    return problems


def step_problems(recipe: Recipe, stages: Sequence[Planned]) -> list[str]:
    """One line for each stage whose strength leaves it no step, or that has none in which guidance is asked for."""
    problems, (begin, end) = [], recipe.guidance_interval
    for stage in stages:
        steps = stage.steps or recipe.steps
        taken = steps - stage.skipped(steps)
        what = f" of stage '{stage.name}'" if stage.name and len(stages) > 1 else ""
        if not taken:
            problems.append(
                f"strength {stage.strength:g}{what} leaves none of {steps} steps; use at least "
                f"{ceil(1000 / steps) / 1000:g}, or more steps"
            )
        elif recipe.guidance_scale > 1 and not any(begin <= index / taken < end for index in range(taken)):
            problems.append(
                f"guidance-interval [{begin:g}, {end:g}] holds none of the {taken} steps{what}; make it wider, or "
                f"set guidance-scale: 1"
            )
    return list(dict.fromkeys(problems))
