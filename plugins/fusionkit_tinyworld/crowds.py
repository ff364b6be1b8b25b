"""Drawings of several objects of one kind, of any size, where the truth is known: what the counter is checked on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fusionkit_tinyworld.canvas import HORIZON, SIDE, Canvas, Image, Mask
from fusionkit_tinyworld.captions import (
    COLOURS,
    SCENES,
    STYLES,
    TIMES,
    Landscape,
    things_of,
)
from fusionkit_tinyworld.drawing import draw
from fusionkit_tinyworld.things import THINGS

GAP = 5
"""Pixels that stay free between two objects."""
GLOW = 30
"""Pixels around an object over which its glow fades away."""
_TRIES = 60


@dataclass(frozen=True)
class Crowd:
    """A picture (256, 256, 3) in RGB, how many objects it shows, and where they are (256, 256)."""

    image: NDArray[np.uint8]
    landscape: Landscape
    count: int
    mask: Mask


def random_content(rng: np.random.Generator, thing: str) -> Landscape:
    """A content with the object in it, uniform among those that can hold it."""
    while True:
        style, scene, time = (str(rng.choice(words)) for words in (STYLES, SCENES, TIMES))
        if thing in things_of(scene, time):
            colours = COLOURS[thing]
            return Landscape(style, scene, time, thing, colours[rng.integers(len(colours))])


def draw_crowd(landscape: Landscape, count: int, scale: float, rng: np.random.Generator) -> Crowd:
    """A landscape with `count` of its object at `scale` times the usual side, none of which touch.

    The objects lie anywhere in the sky, or anywhere on the ground for boats and houses. Where there is no place for
    all of them the picture has fewer, and says so.
    """
    drawing = draw(replace(landscape, thing=None, colour=None), rng)
    image, sky = drawing.image.astype(np.float32), ~drawing.scene_mask
    taken: Mask = np.zeros((SIDE, SIDE), bool)
    drawn = 0
    for _ in range(_TRIES):
        if drawn == count:
            break
        size = scale * float(rng.uniform(0.9, 1.1)) if scale < 1 else 1.0
        drawn += _paste(image, sky, taken, _sprite(landscape, size, rng), landscape.thing, rng)
    return Crowd(np.asarray(image.round().clip(0, 255), np.uint8), landscape, drawn, taken)


def _paste(
    image: Image, sky: Mask, taken: Mask, sprite: tuple[Image, Image], thing: str | None, rng: np.random.Generator
) -> bool:
    """Put one object into the picture, and its place into `taken`; False where it would touch another."""
    change, cover = sprite
    height, width = cover.shape
    inside = np.argwhere(cover > 0.5)
    (y0, x0), (y1, x1) = inside.min(0), inside.max(0) + 1
    in_sky = thing in ("sun", "moon", "balloon")
    first, last = (GAP, HORIZON - (y1 - y0) - 20) if in_sky else (HORIZON + 14, SIDE - GAP - (y1 - y0))
    if last <= first:
        first = last = (SIDE - int(y1 - y0)) - GAP
    row = int(rng.integers(first, last + 1)) - y0
    column = int(rng.integers(GAP, SIDE - GAP - (x1 - x0) + 1)) - x0
    top, left, bottom, right = max(row, 0), max(column, 0), min(row + height, SIDE), min(column + width, SIDE)
    here = np.s_[top:bottom, left:right]
    there = np.s_[top - row : bottom - row, left - column : right - column]
    covered = cover[there]
    near = cv2.dilate((covered > 0.05).astype(np.uint8), np.ones((2 * GAP + 1, 2 * GAP + 1), np.uint8)) > 0
    if taken[here][near].any():
        return False
    # The glow lies behind the scenery and behind other objects.
    image[here] += change[there][..., :3] * (sky & ~taken)[here][..., None] * (1 - covered[..., None])
    image[here] = image[here] * (1 - covered[..., None]) + change[there][..., 3:] * covered[..., None]
    taken[here] |= covered > 0.05
    return True


def _sprite(landscape: Landscape, scale: float, rng: np.random.Generator) -> tuple[Image, Image]:
    """An object alone: (h, w, 6) how it changes its surroundings (glow) and its own colours, and its cover (h, w)."""
    with_object = Canvas(rng, landscape.style, landscape.time)
    without = with_object.image.copy()
    THINGS[landscape.thing or ""](with_object, landscape.colour or "", landscape.scene)
    mask = (with_object.regions > 0).astype(np.uint8)
    if not with_object.is_photo:
        mask = np.asarray(cv2.dilate(mask, np.ones((4, 4), np.uint8)), np.uint8)  # with the outline
    distance = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3)[..., None]
    fading = np.clip(1 - distance / GLOW, 0, 1) * (distance > 0)
    glow = (with_object.image - without) * fading
    picture = with_object.finish().astype(np.float32)
    inside = np.argwhere(mask > 0)
    (y0, x0), (y1, x1) = inside.min(0), inside.max(0) + 1
    box = np.s_[max(0, y0 - GLOW) : y1 + GLOW, max(0, x0 - GLOW) : x1 + GLOW]
    parts = [glow[box].astype(np.float32), picture[box], mask[box].astype(np.float32)]
    if scale != 1:
        size = (max(2, round(parts[2].shape[1] * scale)), max(2, round(parts[2].shape[0] * scale)))
        parts = [cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in parts]
    return np.concatenate(parts[:2], axis=2), parts[2]
