"""A town at the water: rows of buildings of many kinds with lit windows."""

from __future__ import annotations

import numpy as np
import skia

from fusionkit_vista.drawer.geography import HORIZON
from fusionkit_vista.drawer.light import WARM, Colour, mix
from fusionkit_vista.drawer.pen import box, path
from fusionkit_vista.drawer.world import World

_WALLS = ((128, 134, 164), (196, 150, 128), (104, 122, 154), (214, 198, 176), (170, 110, 104), (150, 160, 168))
_QUAY = HORIZON + 0.008


def skyline(world: World, name: str, haze: float, tall: float, wide: float, lamps: bool) -> None:
    """One row of buildings, `tall` at most and `wide` on average, higher where the town's centre is."""
    rng, light = world.rng(name), world.light
    centre = 0.5 + 0.5 * np.sin(4.2 * world.xs(20) + world.rng("centre").uniform(0, 6.3))
    x = world.left - float(rng.random()) * wide
    while x < world.right:
        w = wide * float(rng.uniform(0.65, 1.3))
        rise = float(np.interp(x + w / 2, world.xs(20), centre))
        h = tall * (0.34 + 0.66 * rise**1.6) * float(rng.uniform(0.6, 1.1))
        _building(world, rng, x, w, h, _WALLS[rng.integers(len(_WALLS))], haze, lamps)
        x += w + (float(rng.uniform(0.0, 0.03)) if rng.random() < 0.5 else 0.0)
    glow = 0.16 if light.dark else 0.0
    if glow:
        world.pen.fade(
            box(world.left, HORIZON - 0.12, world.right, _QUAY),
            HORIZON - 0.12,
            _QUAY,
            WARM,
            WARM,
            (0.0, glow),
        )


def _building(
    world: World, rng: np.random.Generator, x: float, w: float, h: float, wall: Colour, haze: float, lamps: bool
) -> None:
    light, pen = world.light, world.pen
    y, middle = HORIZON - h, x + w / 2
    body = light.half(wall, 0.32 if light.dark else 0.5, haze)
    bright = light.lit(wall, haze)
    shape = box(x, y, x + w, _QUAY)
    crown = rng.random()
    if crown < 0.2:  # a spire
        shape.addPath(path([(x + w * 0.1, y), (middle, y - min(w * 1.1, 0.09)), (x + w * 0.9, y)]))
    elif crown < 0.4:  # a set-back top with a mast
        shape.addPath(box(x + w * 0.2, y - w * 0.3, x + w * 0.8, y + 0.001))
        shape.addPath(box(middle - 0.003, y - w * 0.85, middle + 0.003, y))
    elif crown < 0.46:  # a dome
        shape.addPath(
            path([(middle + w * 0.4 * np.cos(a), y - w * 0.42 * np.sin(a)) for a in np.linspace(0, np.pi, 9)])
        )
    elif crown < 0.68:  # a slanted roof
        shape.addPath(path([(x, y), (x + w, y), (x + (w if light.side > 0 else 0), y - w * 0.35)]))
    pen.fade(shape, y, _QUAY, body, mix(body, light.haze, 0.3), steps=2)
    a, b = (x + w * 0.66, x + w) if light.side > 0 else (x, x + w * 0.34)
    pen.fade(box(a, y, b, _QUAY), y, _QUAY, bright, bright, (0.85, 0.15), steps=2)
    if haze < 0.3:
        pen.edge(shape, 0.006, 0.8)
    if lamps:
        _windows(world, rng, x, y, w, body, haze)


def _windows(world: World, rng: np.random.Generator, x: float, y: float, w: float, body: Colour, haze: float) -> None:
    time = world.spec.time
    lamp, share = mix(WARM, world.light.haze, haze * 0.5), 0.62
    if time == "at noon":
        lamp, share = mix(body, world.light.sky[0], 0.5), 0.9
    elif time == "at dawn":
        share = 0.4
    columns = max(1, int((w - 0.012) / 0.025))
    gap = w / columns
    rows = max(0, int((_QUAY - 0.03 - y) / 0.031))
    lit = rng.random((rows, columns)) < share
    panes = skia.Path()
    for i, j in np.argwhere(lit).tolist():
        left, top = x + gap * (j + 0.5) - 0.0068, y + 0.014 + 0.031 * i
        panes.addRect(skia.Rect.MakeLTRB(left, top, left + 0.0136, top + 0.018))
    world.pen.fill(panes, lamp, 0.92 if haze < 0.25 else 0.7)
