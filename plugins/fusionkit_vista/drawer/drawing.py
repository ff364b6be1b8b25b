"""Composes a drawing and renders a part of it into pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusionkit_vista.drawer.spec import Box, Spec

if TYPE_CHECKING:
    from fusionkit_vista.drawer.view import View

SIDE = 128
"""Pixels of the side of a picture that models are trained on."""


def _view(spec: Spec, view: tuple[float, float, float], size: tuple[int, int] | None, margin: int) -> View:
    from fusionkit_vista.drawer.view import View

    x, y, zoom = view
    width, height = size or (round(SIDE * spec.width), SIDE)
    scale = height * zoom
    return View(x - margin / scale, y - margin / scale, width + 2 * margin, height + 2 * margin, scale)


def draw(
    spec: Spec, view: tuple[float, float, float] = (0.0, 0.0, 1.0), size: tuple[int, int] | None = None, margin: int = 0
) -> np.ndarray:
    """A picture of the drawing, uint8 (height + 2 margin, width + 2 margin, 3), in RGB.

    Args:
        spec: What is drawn; the same gives the same drawing, whatever part of it is asked for.
        view: x and y of the picture's upper left corner in heights of the drawing, and the zoom: the picture is
            1 / zoom high.
        size: Width and height of the picture in px; 128 px high and as wide as the drawing if None.
        margin: Pixels that are drawn beyond each border.

    Raises:
        ImportError: If skia-python is missing.
    """
    from fusionkit_vista.drawer.compose import compose

    return compose(spec, _view(spec, view, size, margin))


def boxes(
    spec: Spec, view: tuple[float, float, float] = (0.0, 0.0, 1.0), size: tuple[int, int] | None = None, margin: int = 0
) -> tuple[Box, ...]:
    """The boxes of the things (left, top, right, bottom) in pixels of what `draw` gives, also of those beyond it."""
    x, y, zoom = view
    scale = (size[1] if size else SIDE) * zoom
    return tuple(_scaled(thing.box, scale, margin - x * scale, margin - y * scale) for thing in spec.things)


def _scaled(box: Box, scale: float, right: float, down: float) -> Box:
    return (box[0] * scale + right, box[1] * scale + down, box[2] * scale + right, box[3] * scale + down)
