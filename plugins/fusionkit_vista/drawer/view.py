"""The part of a drawing that becomes a picture, and the pixels that it is drawn on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import skia


@dataclass(frozen=True)
class View:
    """A picture of `width` x `height` px, its margin included, whose upper left corner lies at `left`, `top`.

    `scale` is the number of pixels in one height of the drawing.
    """

    left: float
    top: float
    width: int
    height: int
    scale: float

    def blank(self, pad: int = 0) -> tuple[np.ndarray, Any]:
        """Pixels (height, width + 2 pad, 4) and a canvas on them that is measured in heights of the drawing."""
        pixels = np.zeros((self.height, self.width + 2 * pad, 4), np.uint8)
        surface = skia.Surface(pixels)
        canvas = surface.getCanvas()
        canvas.translate(pad, 0)
        canvas.scale(self.scale, self.scale)
        canvas.translate(-self.left, -self.top)
        return pixels, _Held(surface, canvas)

    def row(self, y: float) -> float:
        """The row of pixels at a height of the drawing."""
        return (y - self.top) * self.scale

    def xs(self) -> np.ndarray:
        """The x in the drawing of the middle of each column."""
        return self.left + (np.arange(self.width) + 0.5) / self.scale

    def ys(self) -> np.ndarray:
        """The y in the drawing of the middle of each row."""
        return self.top + (np.arange(self.height) + 0.5) / self.scale

    def put(self, canvas: Any, pixels: np.ndarray, first: int) -> None:
        """Put pixels (rows, width, 3) on the canvas of the view from the row `first` on."""
        rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
        image = skia.Image.fromarray(np.ascontiguousarray(rgba), skia.kRGBA_8888_ColorType)
        canvas.save()
        canvas.resetMatrix()
        canvas.drawImage(image, 0, first)
        canvas.restore()


class _Held:
    """A canvas that keeps its surface alive."""

    def __init__(self, surface: Any, canvas: Any):
        self._surface, self._canvas = surface, canvas

    def __getattr__(self, name: str) -> Any:
        return getattr(self._canvas, name)
