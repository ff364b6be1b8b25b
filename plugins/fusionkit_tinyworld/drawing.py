"""Draws a captioned landscape from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fusionkit_tinyworld.canvas import Canvas, Mask
from fusionkit_tinyworld.captions import Landscape, random_landscape
from fusionkit_tinyworld.scenery import SCENERY, clouds
from fusionkit_tinyworld.things import THINGS


@dataclass(frozen=True)
class Drawing:
    """A picture (256, 256, 3) in RGB with its content and its truth masks (256, 256)."""

    image: NDArray[np.uint8]
    landscape: Landscape
    object_mask: Mask
    """The object's pixels; empty without an object."""
    scene_mask: Mask
    """The scene's pixels, where the object does not cover them; the rest is sky."""


def draw(
    landscape: Landscape, rng: np.random.Generator, finish: Callable[[Canvas], NDArray[np.uint8]] = Canvas.finish
) -> Drawing:
    """Draw a landscape; the generator decides shapes and places, `finish` makes the picture of the canvas."""
    canvas = Canvas(rng, landscape.style, landscape.time)
    clouds(canvas)
    in_sky = landscape.thing in ("sun", "moon")
    object_layers = _draw_thing(canvas, landscape) if in_sky else (0, 0)
    before = canvas.layer
    SCENERY[landscape.scene](canvas)
    scene_layers = (before, canvas.layer)
    if landscape.thing is not None and not in_sky:
        object_layers = _draw_thing(canvas, landscape)

    def between(layers: tuple[int, int]) -> Mask:
        return (canvas.regions > layers[0]) & (canvas.regions <= layers[1])

    return Drawing(finish(canvas), landscape, between(object_layers), between(scene_layers))


def _draw_thing(canvas: Canvas, landscape: Landscape) -> tuple[int, int]:
    before = canvas.layer
    if landscape.thing is not None:
        THINGS[landscape.thing](canvas, landscape.colour or "", landscape.scene)
    return before, canvas.layer


def draw_seed(seed: int | Sequence[int]) -> tuple[Drawing, np.random.Generator]:
    """The drawing of a seed, and the generator as drawing left it (for the choice of windows and captions)."""
    rng = np.random.default_rng(seed)
    return draw(random_landscape(rng), rng), rng


def shrink(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture area-averaged to (side, side, 3)."""
    if image.shape[0] == side:
        return image
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
