"""Where regions lie on a canvas, in latent pixels, whatever the stage's size. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

from fusionkit_regions.parts import Once, in_pixels

if TYPE_CHECKING:
    from fusionkit import Stage

Shares = tuple[float, float, float, float]
"""Left, top, width and height of a box, in shares of the picture."""

TRIES = 64
"""So many places are drawn for a thing that is to be there once, until one is beside all other regions."""


NEARLY = 1e-6
"""Shares that add up to 1 as they are written may not do so in binary."""


@dataclass(frozen=True)
class Grid:
    """The cells of a canvas, its latent pixels or its pixels, and how far the picture reaches over them.

    Args:
        canvas: (H, W) cells.
        picture: Height and width of the picture in cells, from the upper left corner; its last one may be cut.
        finished: (width, height) in pixels of the finished picture.
        wrap: Along which axes the canvas is a ring.
    """

    canvas: tuple[int, int]
    picture: tuple[float, float]
    finished: tuple[int, int]
    wrap: str

    @property
    def covered(self) -> tuple[int, int]:
        """(H, W) cells that the picture covers, some of them in part."""
        return ceil(self.picture[0]), ceil(self.picture[1])

    def soft(self, pixels: float | None) -> tuple[float, float] | None:
        """A border's width in cells (vertical, horizontal), of so many pixels of the finished picture; None of None."""
        if pixels is None:
            return None
        return pixels * self.picture[0] / self.finished[1], pixels * self.picture[1] / self.finished[0]


def grid_of(stage: Stage, cell: int, size: tuple[int, int] | None = None) -> Grid:
    """The cells of a stage's canvas.

    Args:
        stage: The stage.
        cell: Pixels along a side of each: the latent factor, or 1.
        size: (width, height) in pixels of the canvas, where it is not the stage's own.
    """
    size = size or stage.plan.size
    width, height = stage.frame_at(size)
    return Grid((size[1] // cell, size[0] // cell), (height / cell, width / cell), stage.finished, stage.wrap)


@dataclass(frozen=True)
class Span:
    """Latent pixels of one axis, from `start` to before `end`; on a ring they may go on beyond its length.

    Args:
        start: The first, on the canvas.
        end: The last but one; at least one more.
        length: Of the axis.
        ring: Whether the axis is a ring.
        exact: Start and end before they were rounded.
    """

    start: int
    end: int
    length: int
    ring: bool
    exact: tuple[float, float]

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole axis."""
        return self.end - self.start >= self.length

    def continued(self, length: int) -> Span:
        """The same on a longer axis: what ends with the picture goes on to the canvas' end."""
        if length == self.length:
            return self
        return replace(self, length=length, end=length if self.end >= self.length else self.end)


def in_shares(box: Sequence[float], picture: tuple[int, int]) -> Shares:
    """A box in shares of the picture, however it is written."""
    left, top, width, height = box
    if not in_pixels(tuple(box)):
        return left, top, width, height
    return left / picture[0], top / picture[1], width / picture[0], height / picture[1]


def spans(stage: Stage, box: Shares) -> tuple[Span, Span]:
    """The rows and the columns of a box on the stage's canvas, in latent pixels."""
    rows, columns = spans_on(grid_of(stage, stage.factor), box)
    return rows.continued(stage.canvas[0]), columns.continued(stage.canvas[1])


def spans_on(grid: Grid, box: Shares) -> tuple[Span, Span]:
    """The rows and the columns of a box, of those that the picture covers."""
    (rows, columns), (whole, across) = grid.picture, grid.covered
    left, top, width, height = box
    return _span(top, height, rows, whole, "y" in grid.wrap), _span(left, width, columns, across, "x" in grid.wrap)


def _span(start: float, side: float, picture: float, length: int, ring: bool) -> Span:
    exact = start * picture, (start + side) * picture
    if ring and not 0 <= exact[0] < picture:
        exact = exact[0] % picture, exact[0] % picture + side * picture
    elif picture < length and start + side > 1 - NEARLY:
        # The last cell is the picture's as far as it reaches.
        exact = exact[0], float(length)
    begin = min(round(exact[0]), length - 1)
    end = max(round(exact[1]), begin + 1)
    return Span(begin, min(end, begin + length if ring else length), length, ring, exact)


def windows_along(span: Span, window: int) -> list[int]:
    """Where a region's own windows begin along an axis: one around it, or several over it, half a window apart."""
    if span.end - span.start > window:
        last, stride = span.end - span.start - window, max(1, window // 2)
        begins = [span.start + offset for offset in (*range(0, last, stride), last)]
    else:
        begins = [(span.start + span.end - window) // 2]
    if span.ring:
        return [begin % span.length for begin in begins]
    return [min(max(begin, 0), span.length - window) for begin in begins]


def placed(
    things: Mapping[str, Once], stage: Stage, usual: tuple[float, float], taken: Sequence[Shares]
) -> list[Shares]:
    """The boxes of things that are to be there once, those without a place drawn from the seed.

    Args:
        things: The things by name.
        stage: Any stage of the run: in all of them the places are the same.
        usual: The width and height of a place that has none of its own, in shares of the picture.
        taken: The boxes of other regions, beside which places are drawn.
    """
    found: list[Shares] = []
    for name, thing in things.items():
        width, height = (min(side, 1.0) for side in (usual if thing.size is None else _pair(thing.size, stage)))
        middles = _drawn(stage, name, (width, height)) if thing.at is None else [_pair(thing.at, stage)]
        boxes = [_kept((x - width / 2, y - height / 2, width, height), stage) for x, y in middles]
        others = [*taken, *found]
        found.append(next((box for box in boxes if not any(overlap(box, each, stage) for each in others)), boxes[0]))
    return found


def _pair(pair: Sequence[float], stage: Stage) -> tuple[float, float]:
    width, height = stage.finished if in_pixels(tuple(pair)) else (1, 1)
    return pair[0] / width, pair[1] / height


def _kept(box: Shares, stage: Stage) -> Shares:
    """A box moved onto the picture, where its edges do not meet."""
    left, top, width, height = box
    left = left % 1 if "x" in stage.wrap else min(max(left, 0.0), 1 - width)
    top = top % 1 if "y" in stage.wrap else min(max(top, 0.0), 1 - height)
    return left, top, width, height


def _drawn(stage: Stage, name: str, size: tuple[float, float]) -> list[tuple[float, float]]:
    """Middles that a box of a size, in shares, may have, drawn evenly; the same in all stages."""
    import torch

    from fusionkit.loop.noise import generator

    draws = torch.rand(TRIES, 2, generator=generator(stage.recipe.seed, "regions once", name)).tolist()
    rings = "x" in stage.wrap, "y" in stage.wrap
    return [
        tuple(
            draw if ring else side / 2 + draw * (1 - side) for draw, side, ring in zip(each, size, rings, strict=True)
        )
        for each in draws
    ]


def overlap(some: Shares, others: Shares, stage: Stage) -> bool:
    """Whether two boxes share a place."""
    return all(
        _meet(some[axis], some[axis + 2], others[axis], others[axis + 2], name in stage.wrap)
        for axis, name in enumerate("xy")
    )


def _meet(start: float, side: float, other: float, length: float, ring: bool) -> bool:
    shifts = (-1, 0, 1) if ring else (0,)
    return any(start < other + shift + length and other + shift < start + side for shift in shifts)
