"""How much each latent pixel of a canvas is a region's: boxes and painted masks, with soft borders."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionkit.pictures.picture import open_picture
from fusionkit_regions.places import Grid, Span, grid_of, in_shares, spans_on

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from fusionkit import Stage

    Map = NDArray[np.float32]

LEAST = 1e-3
"""What weighs less anywhere is not there: a view is not predicted once more for it."""

ASPECT = 0.01
"""By how much, at most, a mask's aspect ratio may differ from the picture's, as a share; or one pixel of the mask."""


def mask_on(
    stage: Stage,
    place: Sequence[float] | Path,
    soft_border: float | None,
    softness: float = 0.0,
    *,
    in_pixels: bool = False,
) -> Map:
    """How much each latent pixel of the stage's canvas, or each pixel, belongs to a place of the picture, (H, W), 0..1.

    Beyond the picture, the canvas goes on as the picture ends.

    Args:
        stage: The stage.
        place: A box, in shares of the finished picture or its pixels; or the file of a painted mask.
        soft_border: Pixels of the finished picture over which it fades, half of them outside; None is a box that fades
            within, and a mask as it is painted.
        softness: The share of a box's sides over which it fades within its border.
        in_pixels: Of each pixel, and not of each latent one.
    """
    grid = grid_of(stage, 1 if in_pixels else stage.factor)
    soft = grid.soft(soft_border)
    if isinstance(place, Path):
        found = of_picture(place, grid, soft)
    else:
        found = of_box(*spans_on(grid, in_shares(place, stage.finished)), softness, soft)
    below, beside = (whole - own for whole, own in zip(grid.canvas, found.shape, strict=True))
    return np.pad(found, ((0, below), (0, beside)), mode="edge") if below or beside else found


def of_box(rows: Span, columns: Span, softness: float, soft: tuple[float, float] | None) -> Map:
    """A box, (H, W): 1 inside, 0 outside, linear between; it does not fade out where the canvas ends.

    Args:
        rows: Where it lies.
        columns: Likewise.
        softness: The share of each side over which it fades out within its border.
        soft: In its place, so many latent pixels (vertical, horizontal), half of them outside.
    """
    axes = [
        _fading(span, softness) if soft is None else _sharp(span, wide, side)
        for span, wide, side in zip((rows, columns), soft or (0.0, 0.0), ("y", "x"), strict=True)
    ]
    return np.outer(*(np.array(axis, np.float32) for axis in axes)).astype(np.float32)


def of_picture(path: Path, grid: Grid, soft: tuple[float, float] | None) -> Map:
    """A painted mask, (H, W) of the cells that the picture covers: 1 where it is white and 0 where it is black.

    Args:
        path: The file, which is stretched to the picture.
        grid: The cells.
        soft: As for `of_box`; None is none.
    """
    from PIL.Image import Resampling

    painted = open_picture(path).convert("L")
    size = grid.covered[1], grid.covered[0]
    smaller = painted.width >= size[0] and painted.height >= size[1]
    painted, box = _to_whole_cells(painted, grid)
    painted = painted.resize(size, Resampling.BOX if smaller else Resampling.BILINEAR, box)
    values: Map = np.asarray(painted, np.float32) / np.float32(255)
    for axis, wide in enumerate(soft or ()):
        values = softened(values, wide, axis, "yx"[axis] in grid.wrap)
    return values


def _to_whole_cells(painted: Image, grid: Grid) -> tuple[Image, tuple[float, float, float, float] | None]:
    """A mask that goes on as it ends, and the part of it that covers whole cells; None is all."""
    from PIL import Image

    if grid.picture == grid.covered:
        return painted, None
    height, width = (
        side * cells / own for side, cells, own in zip(painted.size[::-1], grid.covered, grid.picture, strict=True)
    )
    pad = (0, ceil(height) - painted.height), (0, ceil(width) - painted.width)
    return Image.fromarray(np.pad(np.asarray(painted), pad, mode="edge")), (0, 0, width, height)


def softened(values: Map, wide: float, axis: int, ring: bool) -> Map:
    """A map whose steps along an axis become ramps of so many pixels, by the mean over that width around each pixel."""
    if wide <= 1:
        return values
    reach = int(np.ceil(wide / 2)) + 1
    along = np.moveaxis(values, axis, -1)
    pad = [(0, 0)] * (along.ndim - 1) + [(reach, reach)]
    longer = np.pad(along.astype(np.float64), pad, mode="wrap" if ring else "edge")
    total = np.concatenate([np.zeros_like(longer[..., :1]), longer.cumsum(-1)], -1)
    middle = np.arange(along.shape[-1]) + reach + 0.5
    mean = (_at(total, middle + wide / 2) - _at(total, middle - wide / 2)) / wide
    softer: Map = np.moveaxis(mean, -1, axis).astype(np.float32)
    return softer


def _at(total: NDArray[Any], places: NDArray[Any]) -> NDArray[Any]:
    """A running sum between its numbers."""
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, total.shape[-1] - 1)
    found: NDArray[np.float64] = total[..., low] + (places - low) * (total[..., high] - total[..., low])
    return found


def _fading(span: Span, softness: float) -> list[float]:
    """A box along an axis, which fades out within its border."""
    soft = softness * (span.end - span.start)
    values = [0.0] * span.length
    for place in range(span.start, span.end):
        before = (place + 0.5 - span.start) / max(soft, 0.5)
        after = (span.end - place - 0.5) / max(soft, 0.5)
        open_start = span.is_whole or (span.start == 0 and not span.ring)
        open_end = span.is_whole or (span.end == span.length and not span.ring)
        values[place % span.length] = min(1.0, 1.0 if open_start else before, 1.0 if open_end else after)
    return values


def _sharp(span: Span, wide: float, side: str) -> Map:
    """A box along an axis, whose border is a ramp around it."""
    values = np.zeros(span.length, np.float32)
    if span.is_whole:
        return values + 1
    # Where it is soft, a border may lie within a latent pixel.
    start, end = span.exact if wide > 1 else (float(span.start), float(span.end))
    for place in range(int(np.floor(start)), int(np.ceil(end))):
        covered = min(end, place + 1) - max(start, place)
        if span.ring or 0 <= place < span.length:
            values[place % span.length] += covered
    return softened(values, wide, 0, span.ring)


def aspect_problem(path: Path, size: tuple[int, int], name: str) -> str:
    """Why a mask can't be stretched to a picture of (width, height) pixels; empty where it can."""
    width, height = open_picture(path).size
    expected = height * size[0] / size[1]
    if abs(width - expected) <= max(1.0, ASPECT * expected):
        return ""
    return (
        f"mask '{path}' of '{name}' has {width}x{height} pixels, and the picture {size[0]}x{size[1]}: their aspect "
        f"ratios differ; make the mask {max(1, round(expected))}x{height}"
    )
