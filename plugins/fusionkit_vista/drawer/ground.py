"""What lies on open ground: rows of fields, streams, patches of light, tufts of grass."""

from __future__ import annotations

import numpy as np
import skia

from fusionkit_vista.drawer.land import FLOOR
from fusionkit_vista.drawer.light import PINE, SNOW, Colour, mix
from fusionkit_vista.drawer.pen import lens, path
from fusionkit_vista.drawer.world import Curve, World

_CROPS: tuple[Colour | None, ...] = (None, None, (158, 116, 196), (222, 92, 76), (244, 206, 96))
"""What grows in the rows of a field: nothing to see, lavender, poppies or rape."""


def furrows(world: World, name: str, curve: Curve, c: Colour, haze: float) -> None:
    """Rows of a field that run down a slope."""
    rng, pen = world.rng(name), world.pen
    xs, ys = curve
    y = float(np.mean(ys))
    rows = skia.Path()
    start = world.left
    while start < world.right:
        wide = rng.uniform(0.45, 0.9)
        if rng.random() < 0.6:
            lean = rng.uniform(-0.5, 0.5)
            for q in np.arange(0, wide, 0.056):
                a, b = start + q, start + wide / 2 + (q - wide / 2) * 2.1 + lean * 0.4
                rows.addPath(path([(a, y - 0.12), (a + 0.012, y - 0.12), (b + 0.058, y + 0.34), (b, y + 0.34)]))
        start += wide * rng.uniform(1.4, 2.2)
    with pen.inside(path([(world.left, FLOOR), *zip(xs, ys, strict=True), (world.right, FLOOR)])):
        crop = _CROPS[rng.integers(len(_CROPS))]
        if crop is None:
            pen.fill(rows, world.light.dim(c, haze), 0.26)
        else:
            pen.fill(rows, world.light.lit(crop, haze), 0.8)


def hatching(world: World, name: str, y0: float, y1: float, c: Colour, alpha: float = 0.6) -> None:
    """A woodcut's lying strokes on open ground, longer and further apart towards the viewer."""
    if not world.pen.woodcut:
        return
    rng, strokes = world.rng(name + " strokes"), skia.Path()
    for t in (np.arange(7) + 0.5) / 7:
        y = y0 + (y1 - y0) * t**1.3
        for x in rng.uniform(world.left, world.right, world.count(rng, 2, 4)):
            strokes.addPath(
                lens(x, y + rng.uniform(-0.01, 0.01), rng.uniform(0.04, 0.13) * (0.6 + t), 0.005 + 0.007 * t)
            )
    world.pen.fill(strokes, c, alpha)


def meadow_details(world: World, name: str, curve: Curve, c: Colour) -> None:
    """A stream that winds down to the viewer here and there, patches of light and tufts of grass."""
    rng, light, pen = world.rng(name + " details"), world.light, world.pen
    xs, ys = curve
    patches, tufts = skia.Path(), skia.Path()
    top = float(np.mean(ys))
    for _ in range(world.count(rng, 5, 8)):
        t = rng.random()
        patches.addPath(
            lens(rng.uniform(world.left, world.right), top + 0.04 + 0.3 * t, rng.uniform(0.08, 0.22), 0.008 + 0.014 * t)
        )
    with pen.inside(path([(world.left, FLOOR), *zip(xs, ys, strict=True), (world.right, FLOOR)])):
        if not pen.woodcut:
            pen.fill(patches, mix(light.lit(c), light.sun, 0.12), 0.4, soft=0.006)
        for x in world.left + np.cumsum(rng.uniform(0.9, 2.6, int(world.span) + 2)) - 0.8:
            if rng.random() < 0.6 and all(not t.box[0] - 0.1 < x < t.box[2] + 0.1 for t in world.spec.things):
                _stream(world, float(x), top, rng)
    for x in rng.uniform(world.left, world.right, world.count(rng, 6, 10)):
        y, h = rng.uniform(top + 0.08, 1.06), rng.uniform(0.012, 0.022)
        tufts.addPath(
            path(
                [
                    (x - h, y),
                    (x - 0.9 * h, y - h),
                    (x - 0.35 * h, y - 0.3 * h),
                    (x, y - 1.5 * h),
                    (x + 0.4 * h, y - 0.3 * h),
                    (x + h, y - 1.1 * h),
                    (x + h, y),
                ]
            )
        )
    if c != SNOW:
        pen.fill(tufts, light.half(mix(c, PINE, 0.45), 0.4), 0.7)


def _stream(world: World, x: float, top: float, rng: np.random.Generator) -> None:
    pen, light = world.pen, world.light
    t = np.linspace(0, 1, 26)
    bend = rng.uniform(0.07, 0.12) * (1 if rng.random() < 0.5 else -1)
    middle = x + bend * np.sin(t**0.7 * rng.uniform(6, 8)) * (0.25 + t) - light.side * 0.1 * t
    half, y = 0.007 + 0.075 * t**1.4, top - 0.01 + 0.32 * t
    shape = path([*zip(middle - half, y, strict=True), *zip((middle + half)[::-1], y[::-1], strict=True)])
    pen.stroke(shape, light.dim((90, 110, 90)), 0.01, 0.5)
    pen.fade(shape, top, 1.0, mix(light.haze, (255, 255, 255), 0.1), mix(light.sky[1], light.haze, 0.35))
