"""What can be said against regions before a model loads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from fusionkit import Stage, open_picture, picture_problems
from fusionkit.models.suits import no_such_model
from fusionkit_regions.parts import Mask, Once, Painted, in_pixels
from fusionkit_regions.places import NEARLY, grid_of, in_shares

if TYPE_CHECKING:
    from fusionkit_regions.regions import Regions

# From so bright on, a mask's pixel counts as the region's.
_WHITE = 128


def problems(plugin: Regions, stage: Stage) -> Iterator[str]:
    """One line for each thing that makes no sense."""
    for name, region in plugin.regions.items():
        if isinstance(region, Mask):
            yield from mask_problems(region, region.soft_border, name, stage)
        elif isinstance(region, Once):
            yield from _of_place(region, name, stage)
        else:
            yield from box_problems(plugin.boxes[name].box, name, stage)
        if region.model is not None and region.model not in stage.infos:
            yield _unknown_model(region.model, name, list(stage.infos))


def divide_the_height(plugin: Regions, stage: Stage) -> bool:
    """Whether from the top to the bottom no part is more than one scene high without a border of a region.

    Regions count that have words of their own, and are half as wide as the picture. Things that are to be there once
    divide nothing.
    """
    borders = [0.0, 1.0]
    for name, region in plugin.regions.items():
        if isinstance(region, Once) or (region.prompt is None and region.adds is None):
            continue
        if isinstance(region, Mask):
            width, top, bottom = _painted(region)
        else:
            _, top, width, height = in_shares(plugin.boxes[name].box, stage.finished)
            bottom = top + height
        if width >= 0.5:
            borders += [top, bottom]
    borders.sort()
    rows = stage.frame[1] / stage.factor
    return not any(stage.is_high((after - before) * rows) for before, after in pairwise(borders))


def _painted(region: Mask) -> tuple[float, float, float]:
    """How wide a mask is, and where it begins and ends from above, in shares of the picture."""
    import numpy as np

    painted = np.asarray(open_picture(region.mask).convert("L")) >= _WHITE
    rows, columns = (np.flatnonzero(painted.any(axis=axis)) for axis in (1, 0))
    height, width = painted.shape
    return (
        (columns[-1] + 1 - columns[0]) / width,
        rows[0] / height,
        (rows[-1] + 1) / height,
    )


def box_problems(box: Sequence[float], name: str, stage: Stage) -> Iterator[str]:
    """One line where a box reaches beyond the picture, or covers nothing."""
    size = stage.finished
    shares = in_shares(box, size)
    for axis, side, start, share in zip("xy", size, shares[:2], shares[2:], strict=True):
        ring = axis in stage.wrap
        beyond = share > 1 + NEARLY if ring else start < -NEARLY or start + share > 1 + NEARLY
        if beyond:
            yield (
                f"box {list(box)} of '{name}' reaches beyond the picture of {size[0]}x{size[1]}; move it, or leave "
                f"it out"
            )
            return
        if share * side < stage.factor * (1 - NEARLY):
            yield (
                f"box {list(box)} of '{name}' covers nothing: it is smaller than a latent pixel, {stage.factor}x"
                f"{stage.factor} pixels of the picture; make it larger"
            )
            return


def mask_problems(place: Painted, soft_border: float | None, name: str, stage: Stage) -> Iterator[str]:
    """One line where a painted mask can't be read, is of another form than the picture, or is black."""
    from fusionkit_regions.masks import LEAST, aspect_problem, of_picture

    unreadable = picture_problems(place.mask, f"mask of '{name}'")
    if unreadable:
        yield from unreadable
    elif problem := aspect_problem(place.mask, stage.finished, name):
        yield problem
    else:
        last = grid_of(stage, stage.factor, stage.recipe.size)
        if of_picture(place.mask, last, last.soft(soft_border)).max() < LEAST:
            yield f"mask '{place.mask}' of '{name}' covers nothing: it is black; paint white where the region is"


def _of_place(thing: Once, name: str, stage: Stage) -> Iterator[str]:
    size = stage.finished
    if thing.at is not None:
        limits = size if in_pixels(thing.at) else (1, 1)
        inside = [
            axis in stage.wrap or 0 <= place <= limit for axis, place, limit in zip("xy", thing.at, limits, strict=True)
        ]
        if not all(inside):
            yield f"the place {list(thing.at)} of '{name}' lies outside of the picture of {size[0]}x{size[1]}; move it"
    if thing.size is not None:
        sides = (
            thing.size
            if in_pixels(thing.size)
            else [share * side for share, side in zip(thing.size, size, strict=True)]
        )
        if min(sides) < stage.factor:
            yield (
                f"size {list(thing.size)} of '{name}' covers nothing: it is smaller than a latent pixel, "
                f"{stage.factor}x{stage.factor} pixels of the picture; make it larger"
            )


def _unknown_model(model: str, name: str, known: Sequence[str]) -> str:
    if len(known) == 1:
        return (
            f"'{name}' asks the model '{model}', and the recipe has one model, '{known[0]}'; name them: models: "
            f"{{{known[0]}: SOURCE, {model}: SOURCE}}"
        )
    return f"'{name}' asks the model '{model}', {no_such_model(model, known)}"
