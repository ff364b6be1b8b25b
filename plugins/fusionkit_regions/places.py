"""Where regions lie on a canvas, in latent pixels, whatever the stage's size. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionkit_regions.parts import Once, in_pixels

if TYPE_CHECKING:
    from fusionkit import Stage

Shares = tuple[float, float, float, float]
"""Left, top, width and height of a box, in shares of the picture."""

TRIES = 64
"""So many places are drawn for a thing that is to be there once, until one is beside all other regions."""


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


def in_shares(box: Sequence[float], picture: tuple[int, int]) -> Shares:
    """A box in shares of the picture, however it is written."""
    left, top, width, height = box
    if not in_pixels(tuple(box)):
        return left, top, width, height
    return left / picture[0], top / picture[1], width / picture[0], height / picture[1]


def spans(stage: Stage, box: Shares) -> tuple[Span, Span]:
    """The rows and the columns of a box on the stage's canvas."""
    return spans_on(stage.canvas, stage.wrap, box)


def spans_on(canvas: tuple[int, int], wrap: str, box: Shares) -> tuple[Span, Span]:
    """The rows and the columns of a box on a canvas of (H, W), in its pixels, whichever these are.

    Args:
        canvas: Its size.
        wrap: Along which axes it is a ring.
        box: The box.
    """
    rows, columns = canvas
    left, top, width, height = box
    return _span(top, height, rows, "y" in wrap), _span(left, width, columns, "x" in wrap)


def _span(start: float, side: float, length: int, ring: bool) -> Span:
    exact = start * length, (start + side) * length
    if ring and not 0 <= exact[0] < length:
        exact = exact[0] % length, exact[0] % length + side * length
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
    width, height = stage.recipe.size if in_pixels(tuple(pair)) else (1, 1)
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
