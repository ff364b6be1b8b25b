"""The five objects, each painted once, wholly inside the frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fusionkit_tinyworld.canvas import SIDE, Canvas, rgb

PALETTE = {"red": rgb(226, 40, 34), "yellow": rgb(255, 214, 48), "blue": rgb(44, 104, 242)}
"""Colour name to RGB in 0 to 255."""

MARGIN = 6
"""Pixels that stay free between an object and the frame."""

# Rows of an object's foot, from and to, by scene.
_BOAT_ROWS = {"city": (202, 232), "sea": (184, 226), "beach": (174, 188)}
_HOUSE_ROWS = {"mountains": (206, 238), "forest": (214, 240), "desert": (212, 240), "beach": (222, 242)}


def sun(canvas: Canvas, colour: str, scene: str) -> None:
    """A sun in the upper third of the sky."""
    radius = canvas.uniform(24, 28)
    x = canvas.uniform(radius + MARGIN, SIDE - radius - MARGIN)
    y = canvas.uniform(radius + MARGIN, 56)
    paint = rgb(236, 36, 26) if colour == "red" else rgb(255, 230, 70)
    canvas.disc(x, y, radius, paint, glow=0.55)


def moon(canvas: Canvas, colour: str, scene: str) -> None:
    """A crescent moon in the upper third of the sky."""
    radius = canvas.uniform(22, 26)
    x = canvas.uniform(radius + MARGIN, SIDE - radius - MARGIN)
    y = canvas.uniform(radius + MARGIN, 54)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    paint = rgb(252, 248, 220)
    disc = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    bite = (columns - x - 0.5 * radius) ** 2 + (rows - y + 0.2 * radius) ** 2 <= (0.82 * radius) ** 2
    if canvas.is_photo:
        square = (columns - x) ** 2 + (rows - y) ** 2
        weight = (np.exp(-square / (2 * (1.9 * radius) ** 2)) * 0.22)[..., None].astype(np.float32)
        canvas.image = canvas.image * (1 - weight) + paint * weight
    canvas.paint(disc & ~bite, paint)


def balloon(canvas: Canvas, colour: str, scene: str) -> None:
    """A plain hot-air balloon in the sky."""
    r = canvas.uniform(25, 29)
    x = canvas.uniform(r + MARGIN, SIDE - r - MARGIN)
    y = canvas.uniform(r + MARGIN, 66)
    angles = np.linspace(np.pi * 0.86, np.pi * 2.14, 25)
    dome = [(x + r * np.cos(a), y + r * np.sin(a)) for a in angles]
    basket = [
        (x - 0.26 * r, y + 1.45 * r),
        (x + 0.26 * r, y + 1.45 * r),
        (x + 0.22 * r, y + 1.86 * r),
        (x - 0.22 * r, y + 1.86 * r),
    ]
    canvas.polygon(basket, canvas.object_lit(rgb(124, 78, 40)))
    envelope = [*dome, (x + 0.28 * r, y + 1.4 * r), (x - 0.28 * r, y + 1.4 * r)]
    canvas.polygon(envelope, canvas.object_lit(PALETTE[colour]), shade=0.4)


def boat(canvas: Canvas, colour: str, scene: str) -> None:
    """A sailing boat with a coloured main sail and a small white one."""
    w = canvas.uniform(28, 33)
    x = canvas.uniform(w + MARGIN, SIDE - w - MARGIN)
    y = canvas.uniform(*_BOAT_ROWS[scene])
    canvas.polygon(
        [(x - w, y), (x + w, y), (x + 0.62 * w, y + 0.44 * w), (x - 0.62 * w, y + 0.44 * w)],
        canvas.object_lit(rgb(120, 70, 40)),
        shade=0.3,
    )
    canvas.polygon(
        [(x + 1, y - 3), (x + 1, y - 1.9 * w), (x + w, y - 3)], canvas.object_lit(PALETTE[colour]), shade=0.3
    )
    canvas.polygon([(x - 4, y - 3), (x - 4, y - 1.4 * w), (x - 0.8 * w, y - 3)], canvas.object_lit(rgb(250, 246, 238)))


def house(canvas: Canvas, colour: str, scene: str) -> None:
    """A white house with a coloured roof, a door and a window."""
    w = canvas.uniform(27, 31)
    x = canvas.uniform(1.26 * w + MARGIN, SIDE - 1.26 * w - MARGIN)
    y = canvas.uniform(*_HOUSE_ROWS[scene])
    top = y - 1.05 * w
    canvas.polygon(
        [(x - w, y), (x + w, y), (x + w, top), (x - w, top)], canvas.object_lit(rgb(250, 240, 218)), shade=0.2
    )
    roof = [(x - 1.26 * w, top), (x + 1.26 * w, top), (x, top - 0.95 * w)]
    canvas.polygon(roof, canvas.object_lit(PALETTE[colour]), shade=0.3)
    door = [(x + 0.2 * w, y), (x + 0.66 * w, y), (x + 0.66 * w, y - 0.7 * w), (x + 0.2 * w, y - 0.7 * w)]
    canvas.polygon(door, canvas.object_lit(rgb(112, 66, 42)), outlined=False)
    pane = rgb(120, 170, 216) if canvas.time == "noon" else rgb(255, 214, 104)
    window = [
        (x - 0.66 * w, y - 0.3 * w),
        (x - 0.18 * w, y - 0.3 * w),
        (x - 0.18 * w, y - 0.74 * w),
        (x - 0.66 * w, y - 0.74 * w),
    ]
    canvas.polygon(window, pane, outlined=False)


THINGS: dict[str, Callable[[Canvas, str, str], None]] = {
    "sun": sun,
    "moon": moon,
    "balloon": balloon,
    "boat": boat,
    "house": house,
}
"""Object name to the function that paints it, given the canvas, the colour's name and the scene's name."""
