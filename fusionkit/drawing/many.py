"""Many pictures on the workers of a pool, those of one set of weights after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from fusionkit.distributed.pool import Pool
from fusionkit.distributed.values import Answer
from fusionkit.drawing.drawn import Drawn
from fusionkit.drawing.tasks import Draw, Ready, agreed
from fusionkit.recipe.fields import weights_of
from fusionkit.recipe.recipe import Recipe

Told = Callable[[int, Drawn], None]
"""Told the number of a picture, and the picture, as it comes."""


def draw_many(pool: Pool, pictures: Sequence[Draw], told: Told) -> None:
    """Draw pictures, each on whichever worker is free.

    Pictures of one set of weights should follow each other: all workers load them before the first of them is drawn,
    and agree upon what would decide its last bits, the number of views in a forward pass.

    Args:
        pool: The workers.
        pictures: What is drawn.
        told: Told of each, in the order in which they come.

    Raises:
        RecipeError: Workers would compute in different types of numbers.
        FusionError: A run failed.
    """
    numbered = list(enumerate(pictures))
    for _, each in groupby(numbered, key=lambda pair: weights_of(pair[1].recipe)):
        _draw_alike(pool, list(each), told)


def _draw_alike(pool: Pool, pictures: Sequence[tuple[int, Draw]], told: Told) -> None:
    recipes = {_tiling(draw.recipe): draw.recipe for _, draw in pictures if draw.recipe.batch_size is None}
    asked = Ready([*recipes.values()] or [pictures[0][1].recipe])
    batches = agreed([answer.value for answer in pool.prepare(asked)])

    def done(place: int, answer: Answer) -> None:
        drawn, answer.value = answer.value, None  # it is let go once it is told
        told(pictures[place][0], drawn)

    pool.run([draw.with_batches(batches) for _, draw in pictures], done)


def _tiling(recipe: Recipe) -> str:
    """What decides which views there are: pictures of equal ones differ in what they show alone."""
    return repr({name: each for name, each in recipe.dump().items() if name not in ("seed", "prompt")})
