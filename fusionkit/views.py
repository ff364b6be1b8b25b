"""Views: the parts of the canvas that the model predicts. Pure Python, so that `plan` and `validate` start quickly."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fusionkit.errors import CanvasError


class View(NamedTuple):
    """One view of the canvas, in latent pixels: `height` x `width` samples, each `dilation` pixels apart."""

    top: int
    left: int
    height: int
    width: int
    dilation: int = 1

    @property
    def slices(self) -> tuple[slice, slice]:
        """The view's rows and columns, to index the last two axes of a canvas."""
        d = self.dilation
        return (
            slice(self.top, self.top + (self.height - 1) * d + 1, d),
            slice(self.left, self.left + (self.width - 1) * d + 1, d),
        )


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
        CanvasError: A size is below 1, or the stride is larger than the window and would leave holes.
    """
    height, width = min(canvas[0], window[0]), min(canvas[1], window[1])
    if min(*canvas, *window, *stride) < 1:
        raise CanvasError(f"canvas {canvas}, window {window} and stride {stride} must all be at least 1 latent pixel")
    if stride[0] > window[0] or stride[1] > window[1]:
        raise CanvasError(f"stride {stride} is larger than the window {window}: pixels between two windows stay empty")
    return tuple(
        View(top, left, height, width)
        for top in starts(canvas[0], height, stride[0])
        for left in starts(canvas[1], width, stride[1])
    )


def jittered(
    views: tuple[View, ...], canvas: tuple[int, int], reach: tuple[int, int], draw: Callable[[int], int]
) -> tuple[View, ...]:
    """Move each inner view by up to `reach` latent pixels; views at an edge keep to it.

    Coverage is kept where `reach` is at most half of the overlap of neighbouring views.

    Args:
        views: As from `windows`.
        canvas: (height, width) in latent pixels.
        reach: Largest move (vertical, horizontal), in latent pixels.
        draw: Given n, an integer drawn evenly from -n..n.
    """

    def moved(start: int, size: int, length: int, most: int) -> int:
        if start in (0, length - size):
            return start
        return min(max(start + draw(most), 0), length - size)

    return tuple(
        view._replace(
            top=moved(view.top, view.height, canvas[0], reach[0]),
            left=moved(view.left, view.width, canvas[1], reach[1]),
        )
        for view in views
    )
