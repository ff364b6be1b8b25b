"""Views: the parts of the canvas that the model predicts. Pure Python, so that `plan` and `validate` start quickly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import product
from typing import Literal, NamedTuple, get_args

from fusionkit.errors import CanvasError
from fusionkit.recipe import limits

Wrap = Literal["", "x", "y", "xy"]
"""Along which axes the edges of a canvas meet: none; left and right; top and bottom; both."""

WRAPS: tuple[Wrap, ...] = get_args(Wrap)

Piece = tuple[slice, slice]
"""Places on an axis of the canvas, and the numbers of the samples of a view that lie there."""


class View(NamedTuple):
    """One view of the canvas, in latent pixels: `height` x `width` samples, each `dilation` pixels apart.

    Columns are `across` pixels apart in place of that, where it is not 0.

    A view may reach over the canvas' border: there it sees zeros, and what is predicted there counts for nothing.
    Where the canvas is a ring along an axis, told by `wrap`, it goes on at the other edge instead. Views that hooks are
    given know the ring of their stage, whoever made them.
    """

    top: int
    left: int
    height: int
    width: int
    dilation: int = 1
    wrap: Wrap = ""
    across: int = 0

    @property
    def apart(self) -> tuple[int, int]:
        """How many latent pixels lie from one row to the next, and from one column to the next."""
        return self.dilation, self.across or self.dilation

    @property
    def is_dilated(self) -> bool:
        """Whether it leaves out rows or columns between its own, and so shows more of the picture than its size."""
        return self.apart != (1, 1)

    def pieces(self, canvas: tuple[int, int]) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
        """Where on a canvas (H, W) its rows lie, and where its columns; on a ring there may be several pieces of each.

        Samples that lie outside are in none of them.
        """
        return _pieces(self, canvas)

    def parts(self, canvas: tuple[int, int]) -> tuple[tuple[Piece, Piece], ...]:
        """The parts of the view that lie on a canvas (H, W): of each the rows and columns of the canvas, and its own.

        Both index the last two axes. There is one part in most cases, none where the view lies wholly outside, and up
        to four where it reaches over the borders of a ring.
        """
        return _parts(self, canvas)


# The same views are asked about many times a step.
@lru_cache(maxsize=8192)
def _pieces(view: View, canvas: tuple[int, int]) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    rows = _on_ring if "y" in view.wrap else _on_line
    columns = _on_ring if "x" in view.wrap else _on_line
    return (
        rows(view.top, view.height, view.apart[0], canvas[0]),
        columns(view.left, view.width, view.apart[1], canvas[1]),
    )


@lru_cache(maxsize=8192)
def _parts(view: View, canvas: tuple[int, int]) -> tuple[tuple[Piece, Piece], ...]:
    return tuple(
        ((rows, columns), (own_rows, own_columns))
        for (rows, own_rows), (columns, own_columns) in product(*_pieces(view, canvas))
    )


def _on_line(start: int, count: int, step: int, length: int) -> tuple[Piece, ...]:
    """The samples start, start + step, ... that lie on an axis of `length`: their places on it, and their numbers."""
    first = max(0, -(start // step))
    end = max(first, min(count, (length - 1 - start) // step + 1))
    place = start + first * step
    return ((slice(place, place + (end - first) * step, step), slice(first, end)),) if end > first else ()


def _on_ring(start: int, count: int, step: int, length: int) -> tuple[Piece, ...]:
    """As `_on_line`, on an axis whose end is its beginning: once around after the other."""
    pieces, first = [], 0
    while first < count:
        place = (start + first * step) % length
        end = min(count, first + (length - 1 - place) // step + 1)
        pieces.append((slice(place, place + (end - first) * step, step), slice(first, end)))
        first = end
    return tuple(pieces)


def wrapped(views: Iterable[View], canvas: tuple[int, int], wrap: Wrap) -> tuple[View, ...]:
    """Views as they lie on a canvas (H, W) that is a ring along the axes `wrap`: there each begins on the canvas."""
    views = tuple(views)
    if not wrap and not any(view.wrap for view in views):
        return views
    return tuple(
        view._replace(
            top=view.top % canvas[0] if "y" in wrap else view.top,
            left=view.left % canvas[1] if "x" in wrap else view.left,
            wrap=wrap,
        )
        for view in views
    )


def starts(length: int, window: int, stride: int, ring: bool = False, offset: int = 0) -> list[int]:
    """Where windows of `window` begin on an axis of `length`; the last one is moved inward to end at the edge.

    On a ring there is no edge: windows begin at every multiple of the stride, and the last ones go on at the beginning.

    Args:
        length: Of the axis.
        window: Of one window.
        stride: From one window to the next.
        ring: Whether the axis is a ring.
        offset: By how much the grid is shifted. Between two edges one more window covers what lies before it; a ring is
            turned.
    """
    if ring:
        return [(start + offset) % length for start in range(0, length, stride)]
    last, first = length - window, offset % stride
    before = [0] if first > 0 and last > 0 else []
    return [*before, *range(first, last, stride), last]


def windows(
    canvas: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    wrap: Wrap = "",
    offset: tuple[int, int] = (0, 0),
) -> tuple[View, ...]:
    """Windows that cover a canvas, row by row.

    Args:
        canvas: (height, width) in latent pixels.
        window: (height, width) in latent pixels; cut to the canvas where that is smaller.
        stride: (vertical, horizontal) in latent pixels.
        wrap: Along which axes the canvas is a ring; a stage's is `stage.wrap`.
        offset: (vertical, horizontal) in latent pixels, by which the grid is shifted: its seams then lie elsewhere. The
            canvas stays covered, by one more row or column of windows where it is no ring.

    Raises:
        CanvasError: A size is below 1, or the stride is larger than the window and would leave holes, or so small that
            there would be more views than `limits.VIEWS`.
    """
    height, width = min(canvas[0], window[0]), min(canvas[1], window[1])
    # Four times: what is asked to cover a canvas with little overlap is measured without it.
    if (views := count(canvas, window, stride, wrap, offset)) > 4 * limits.VIEWS:
        raise CanvasError(f"stride {stride} in latent pixels makes {views:,} views; the most are {limits.VIEWS:,}")
    if min(*canvas, *window, *stride) < 1:
        raise CanvasError(f"canvas {canvas}, window {window} and stride {stride} must all be at least 1 latent pixel")
    if stride[0] > window[0] or stride[1] > window[1]:
        raise CanvasError(f"stride {stride} is larger than the window {window}: pixels between two windows stay empty")
    return tuple(
        View(top, left, height, width, wrap=wrap)
        for top in starts(canvas[0], height, stride[0], "y" in wrap, offset[0])
        for left in starts(canvas[1], width, stride[1], "x" in wrap, offset[1])
    )


def count(
    canvas: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    wrap: Wrap = "",
    offset: tuple[int, int] = (0, 0),
) -> int:
    """How many windows `windows` lays out, without laying them out."""

    def along(axis: str, length: int, side: int, step: int, first: int) -> int:
        step = max(step, 1)
        if axis in wrap:
            return len(range(0, length, step))
        last = max(length - side, 0)
        return len(range(first % step, last, step)) + (2 if first % step and last else 1)

    rows, columns = map(along, "yx", canvas, window, stride, offset)
    return rows * columns


def covering(
    canvas: tuple[int, int], window: tuple[int, int], wrap: Wrap = "", offset: tuple[int, int] = (0, 0)
) -> tuple[View, ...]:
    """Windows at three quarters of their size apart; one window where the canvas is no larger, and no ring.

    Args:
        canvas: (height, width) in latent pixels.
        window: (height, width) in latent pixels.
        wrap: As for `windows`.
        offset: As for `windows`.
    """
    height, width = min(canvas[0], window[0]), min(canvas[1], window[1])
    return windows(canvas, (height, width), (max(1, height * 3 // 4), max(1, width * 3 // 4)), wrap, offset)


def jittered(
    views: tuple[View, ...],
    canvas: tuple[int, int],
    reach: tuple[int, int],
    draw: Callable[[int, int], int],
    cross: bool = False,
) -> tuple[View, ...]:
    """Move each view by up to `reach` latent pixels.

    Coverage is kept where `reach` is at most half of the overlap of neighbouring views. An axis that one view spans
    from edge to edge has nothing to move. On a ring, which has no edges, every view moves.

    Args:
        views: As from `windows`.
        canvas: (height, width) in latent pixels.
        reach: Largest move (vertical, horizontal), in latent pixels.
        draw: Given low and high, an integer drawn evenly from low..high; asked for columns first, then for rows.
        cross: Whether views at an edge move across it by up to `reach`, as in DemoFusion's code, in place of keeping
            to it; what lies outside is zeros when it is gathered.
    """

    def moved(start: int, size: int, length: int, most: int, ring: bool) -> int:
        if ring:
            return (start + draw(-most, most)) % length
        first, last = start == 0, start == length - size
        if first and last:
            return start
        if first or last:
            return start + (draw(0 if last else -most, 0 if first else most) if cross else 0)
        place = start + draw(-most, most)
        return place if cross else min(max(place, 0), length - size)

    jittered_views = []
    for view in views:
        left = moved(view.left, view.width, canvas[1], reach[1], "x" in view.wrap)
        top = moved(view.top, view.height, canvas[0], reach[0], "y" in view.wrap)
        jittered_views.append(view._replace(top=top, left=left))
    return tuple(jittered_views)
