"""Views: the parts of the canvas that the model predicts. Pure Python, so that `plan` and `validate` start quickly."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from fusionkit.errors import CanvasError
from fusionkit.recipe import limits


class View(NamedTuple):
    """One view of the canvas, in latent pixels: `height` x `width` samples, each `dilation` pixels apart.

    A view may reach over the canvas' border: there it sees zeros, and what is predicted there counts for nothing.
    """

    top: int
    left: int
    height: int
    width: int
    dilation: int = 1

    def inside(self, canvas: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The part of the view that lies on a canvas (H, W): rows and columns of the canvas, and those of the view.

        Both index the last two axes; both are empty where the view lies wholly outside.
        """
        return _inside(self, canvas)


# The same views are asked about many times a step.
@lru_cache(maxsize=8192)
def _inside(view: View, canvas: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    rows, own_rows = _overlap(view.top, view.height, view.dilation, canvas[0])
    columns, own_columns = _overlap(view.left, view.width, view.dilation, canvas[1])
    return (rows, columns), (own_rows, own_columns)


def _overlap(start: int, count: int, step: int, length: int) -> tuple[slice, slice]:
    """The samples start, start + step, ... that lie on an axis of `length`: their places on it, and their numbers."""
    first = max(0, -(start // step))
    end = max(first, min(count, (length - 1 - start) // step + 1))
    place = start + first * step
    return slice(place, place + (end - first) * step, step), slice(first, end)


def starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows of `window` begin on an axis of `length`; the last one is moved inward to end at the edge."""
    last = length - window
    return [*range(0, last, stride), last]


def windows(canvas: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> tuple[View, ...]:
    """Windows that cover a canvas, row by row.

    Args:
        canvas: (height, width) in latent pixels.
        window: (height, width) in latent pixels; cut to the canvas where that is smaller.
        stride: (vertical, horizontal) in latent pixels.

    Raises:
        CanvasError: A size is below 1, or the stride is larger than the window and would leave holes, or so small that
            there would be more views than `limits.VIEWS`.
    """
    height, width = min(canvas[0], window[0]), min(canvas[1], window[1])
    # Four times: what is asked to cover a canvas with little overlap is measured without it.
    if (views := count(canvas, window, stride)) > 4 * limits.VIEWS:
        raise CanvasError(f"stride {stride} in latent pixels makes {views:,} views; the most are {limits.VIEWS:,}")
    if min(*canvas, *window, *stride) < 1:
        raise CanvasError(f"canvas {canvas}, window {window} and stride {stride} must all be at least 1 latent pixel")
    if stride[0] > window[0] or stride[1] > window[1]:
        raise CanvasError(f"stride {stride} is larger than the window {window}: pixels between two windows stay empty")
    return tuple(
        View(top, left, height, width)
        for top in starts(canvas[0], height, stride[0])
        for left in starts(canvas[1], width, stride[1])
    )


def count(canvas: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> int:
    """How many windows `windows` lays out, without laying them out."""
    rows, columns = (
        len(range(0, max(length - side, 0), max(step, 1))) + 1
        for length, side, step in zip(canvas, window, stride, strict=True)
    )
    return rows * columns


def covering(canvas: tuple[int, int], window: tuple[int, int]) -> tuple[View, ...]:
    """Windows at three quarters of their size apart; one window where the canvas is no larger."""
    height, width = min(canvas[0], window[0]), min(canvas[1], window[1])
    return windows(canvas, (height, width), (max(1, height * 3 // 4), max(1, width * 3 // 4)))


def jittered(
    views: tuple[View, ...],
    canvas: tuple[int, int],
    reach: tuple[int, int],
    draw: Callable[[int, int], int],
    cross: bool = False,
) -> tuple[View, ...]:
    """Move each view by up to `reach` latent pixels.

    Coverage is kept where `reach` is at most half of the overlap of neighbouring views. An axis that one view spans
    from edge to edge has nothing to move.

    Args:
        views: As from `windows`.
        canvas: (height, width) in latent pixels.
        reach: Largest move (vertical, horizontal), in latent pixels.
        draw: Given low and high, an integer drawn evenly from low..high; asked for columns first, then for rows.
        cross: Whether views at an edge move across it by up to `reach`, as in DemoFusion's code, in place of keeping
            to it; what lies outside is zeros when it is gathered.
    """

    def moved(start: int, size: int, length: int, most: int) -> int:
        first, last = start == 0, start == length - size
        if first and last:
            return start
        if first or last:
            return start + (draw(0 if last else -most, 0 if first else most) if cross else 0)
        place = start + draw(-most, most)
        return place if cross else min(max(place, 0), length - size)

    jittered_views = []
    for view in views:
        left = moved(view.left, view.width, canvas[1], reach[1])
        jittered_views.append(view._replace(top=moved(view.top, view.height, canvas[0], reach[0]), left=left))
    return tuple(jittered_views)
