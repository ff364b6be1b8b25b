"""A canvas that paints land, water and shapes in one of two styles, and remembers which region each pixel is of."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 256
"""Side of a drawing in pixels."""
HORIZON = 154
"""Row of the horizon, near 0.6 of the height in every scene, so that windows of a long picture join."""

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Colour = NDArray[np.float32]
Points = Sequence[tuple[float, float]]

_ROWS, _COLUMNS = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)


def rgb(red: float, green: float, blue: float) -> Colour:
    """A colour in 0 to 255."""
    return np.array((red, green, blue), np.float32)


# The sky's colours from the zenith to the horizon.
SKY = {
    "noon": (rgb(58, 132, 224), rgb(120, 184, 240), rgb(212, 236, 250)),
    "twilight": (rgb(78, 50, 136), rgb(222, 96, 128), rgb(255, 188, 104)),
    "night": (rgb(10, 14, 52), rgb(26, 38, 96), rgb(58, 80, 152)),
}
WATER = {
    "noon": (rgb(104, 186, 224), rgb(24, 96, 172)),
    "twilight": (rgb(236, 142, 122), rgb(88, 56, 128)),
    "night": (rgb(52, 78, 146), rgb(14, 26, 78)),
}
# Light on the ground: a colour becomes colour * gain + offset.
_LIGHT = {
    "noon": (rgb(1, 1, 1), rgb(0, 0, 0)),
    "twilight": (rgb(0.74, 0.68, 0.56), rgb(20, 0, 36)),
    "night": (rgb(0.27, 0.37, 0.50), rgb(6, 10, 36)),
}
# Objects keep saturated colours, so that their colour can be told at night.
_OBJECT_LIGHT = {"noon": rgb(1, 1, 1), "twilight": rgb(0.96, 0.86, 0.86), "night": rgb(0.88, 0.88, 0.94)}


def _texture_bank() -> list[Image]:
    rng = np.random.default_rng(12345)
    bank = []
    for _ in range(8):
        texture = np.zeros((2 * SIDE, 2 * SIDE), np.float32)
        for cells, weight in ((16, 1.0), (32, 0.6), (64, 0.35)):
            noise = rng.standard_normal((cells, cells)).astype(np.float32)
            texture += weight * cv2.resize(noise, (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_CUBIC)
        bank.append((texture / texture.std()).astype(np.float32, copy=False))
    return bank


_TEXTURES = _texture_bank()


class Canvas:
    """A picture in the making.

    The style is "photo" (gradients, glow, texture) or "cartoon" (flat colours, dark outlines, a banded sky). Each
    painted region gets a number in `regions` (SIDE, SIDE); `layer` is the last one given, 0 is the sky.
    """

    def __init__(self, rng: np.random.Generator, style: str, time: str) -> None:
        self.rng = rng
        self.time = time
        self.is_photo = style == "photo"
        self.haze = SKY[time][2]
        self.layer = 0
        self.regions = np.zeros((SIDE, SIDE), np.uint16)
        self.image = self._sky()

    def _sky(self) -> Image:
        height = np.clip(np.arange(SIDE, dtype=np.float32) / HORIZON, 0, 1)
        if not self.is_photo:
            bands = 5
            height = np.minimum(np.floor(height * bands), bands - 1) / (bands - 1)
        stops = np.stack(SKY[self.time])
        column = np.stack([np.interp(height, (0, 0.6, 1), stops[:, channel]) for channel in range(3)], axis=-1)
        return np.repeat(column[:, None].astype(np.float32), SIDE, axis=1)

    def lit(self, colour: Colour, haze: float = 0.0) -> Colour:
        """The colour in the light of the time of day, mixed with the horizon's haze (0 to 1)."""
        gain, offset = _LIGHT[self.time]
        return (colour * gain + offset) * (1 - haze) + self.haze * haze

    def object_lit(self, colour: Colour) -> Colour:
        """The colour of an object in the light of the time of day."""
        return colour * _OBJECT_LIGHT[self.time]

    def uniform(self, low: float, high: float) -> float:
        """A uniform random number."""
        return float(self.rng.uniform(low, high))

    def smooth_line(self, row: float, amplitude: float, waves: int) -> NDArray[np.float32]:
        """Rows (SIDE,) of a smooth random line around `row`."""
        knots = self.rng.uniform(-1, 1, waves + 4).astype(np.float32)
        line = cv2.resize(knots[None], (SIDE, 1), interpolation=cv2.INTER_CUBIC)[0]
        return np.asarray(row + amplitude * line, np.float32)

    def paint(self, mask: Mask, colour: Image | Colour, outlined: bool = True) -> None:
        """Fill a mask (SIDE, SIDE) with a colour (3,) or an image (SIDE, SIDE, 3); `outlined` makes it a region."""
        self.image[mask] = colour if colour.ndim == 1 else colour[mask]
        if outlined:
            self.layer += 1
            self.regions[mask] = self.layer

    def polygon(
        self, points: Points, colour: Colour, bottom: Colour | None = None, shade: float = 0.0, outlined: bool = True
    ) -> None:
        """Fill a polygon of (x, y) points.

        Photos fade to the colour `bottom` downwards and, by the strength `shade`, from light on the left to dark on
        the right; cartoons take `colour` flat.
        """
        corners = np.round(np.asarray(points)).astype(np.int32)
        x0, y0 = np.clip(corners.min(0), 0, SIDE)
        x1, y1 = np.clip(corners.max(0) + 1, 0, SIDE)
        if x1 <= x0 or y1 <= y0:
            return
        stencil = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(stencil, [corners - (x0, y0)], 1)
        mask = stencil > 0
        box = np.s_[y0:y1, x0:x1]
        if self.is_photo:
            self.image[box][mask] = self._shading(corners, box, colour, bottom, shade)[mask]
        else:
            self.image[box][mask] = colour
        if outlined:
            self.layer += 1
            self.regions[box][mask] = self.layer

    @staticmethod
    def _shading(
        corners: NDArray[np.int32], box: tuple[slice, slice], colour: Colour, bottom: Colour | None, shade: float
    ) -> Image:
        (x0, y0), (x1, y1) = corners.min(0), corners.max(0)
        down = ((_ROWS[box] - y0) / max(1, y1 - y0))[..., None]
        across = ((_COLUMNS[box] - x0) / max(1, x1 - x0))[..., None]
        blended = colour * (1 - down) + (colour if bottom is None else bottom) * down
        return np.asarray(blended * (1 + shade * (0.5 - across)), np.float32)

    def disc(self, x: float, y: float, radius: float, colour: Colour, glow: float = 0.0) -> Mask:
        """Paint a disc, in photos with a glow of the given strength (0 to 1) around it; returns its mask."""
        square = (_COLUMNS - x) ** 2 + (_ROWS - y) ** 2
        if glow and self.is_photo:
            weight = (np.exp(-square / (2 * (radius * 1.9) ** 2)) * glow)[..., None]
            self.image = self.image * (1 - weight) + colour * weight
        mask: Mask = np.asarray(square <= radius * radius)
        self.paint(mask, colour)
        return mask

    def land(
        self, line: NDArray[np.float32], top: Colour, bottom: Colour, depth: float = 70.0, texture: float = 0.0
    ) -> None:
        """Fill everything under a line of rows (SIDE,); photos fade from `top` to `bottom` over `depth` pixels."""
        mask = line[None] <= _ROWS
        if not self.is_photo:
            self.paint(mask, 0.6 * top + 0.4 * bottom)
            return
        down = np.clip((_ROWS - line[None]) / depth, 0, 1)[..., None]
        colour = top * (1 - down) + bottom * down
        if texture:
            colour = colour * (1 + texture * self._texture())[..., None]
        self.paint(mask, colour)

    def water(self, row: float) -> None:
        """Fill everything under a row with water and some wavelets."""
        top, bottom = WATER[self.time]
        self.land(np.full(SIDE, row, np.float32), top, bottom, depth=SIDE - row)
        crest = tuple(float(channel) for channel in 0.45 * top + 0.3 * bottom + 0.25 * self.haze + 14)
        for _ in range(9):
            y = int(self.uniform(row + 8, SIDE - 4))
            x = int(self.uniform(-20, SIDE))
            length = int(self.uniform(18, 44))
            cv2.line(self.image, (x, y), (x + length, y), crest, 3)

    def _texture(self) -> Image:
        texture = _TEXTURES[self.rng.integers(len(_TEXTURES))]
        y, x = self.rng.integers(0, SIDE, 2)
        return texture[y : y + SIDE, x : x + SIDE]

    def finish(self) -> NDArray[np.uint8]:
        """The finished picture (SIDE, SIDE, 3) in RGB; cartoons get dark outlines between regions."""
        image = self.image
        if not self.is_photo:
            edges = cv2.morphologyEx(self.regions, cv2.MORPH_GRADIENT, np.ones((4, 4), np.uint8)) > 0
            image[edges] *= 0.14
        smooth = cv2.GaussianBlur(image.clip(0, 255), (3, 3), 0.7)
        return np.asarray(smooth.round().clip(0, 255), np.uint8)
