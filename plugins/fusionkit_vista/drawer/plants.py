"""Trees: conifers along a curve, and rows of round trees or cypresses."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import skia

from fusionkit_vista.drawer.light import PINE, SNOW, Colour, mix
from fusionkit_vista.drawer.pen import oval, path
from fusionkit_vista.drawer.world import Curve, World


@lru_cache(maxsize=8)
def _conifer(slim: float) -> tuple[skia.Path, skia.Path, skia.Path]:
    """A conifer of height 1 with its foot at the origin: all of it, and the halves to its left and right."""
    right = []
    for k in range(5):
        t = (k + 1) / 5
        lift = 0.06 if k < 4 else 0.0
        right += [(slim * t, -(1 - t) - lift), (slim * t * 0.6, -(1 - t) - lift * 1.5)]
    left = [(-x, y) for x, y in right]
    whole = path([(0, -1.02), *right, (0, 0), *left[::-1]])
    halves = [
        path([(0, -1.02), *half, (way * slim * 0.25, 0), (way * slim * 0.1, -0.5)])
        for way, half in ((-1, left), (1, right))
    ]
    return whole, halves[0], halves[1]


def conifers(
    world: World,
    name: str,
    curve: Curve,
    density: float,
    height: float,
    c: Colour,
    haze: float,
    snow: bool = False,
    keep: Callable[[float], bool] | None = None,
) -> None:
    """Conifers along a curve, `density` of them a height of the picture, as one silhouette with a lit side."""
    rng, light, pen = world.rng(name), world.light, world.pen
    xs, ys = curve
    count = int(density * world.span)
    places = world.left + (np.arange(count) + rng.uniform(-0.45, 0.45, count) + 0.5) / count * world.span
    heights, kinds = height * rng.uniform(0.6, 1.12, count), rng.integers(4, size=count)
    feet = np.interp(places, xs, ys) + 0.012
    whole, lit = skia.Path(), skia.Path()
    for x, y, h, kind in zip(places.tolist(), feet.tolist(), heights.tolist(), kinds.tolist(), strict=True):
        if keep is not None and not keep(x):
            continue
        tree = _conifer(0.19 + 0.02 * kind)
        matrix = skia.Matrix.MakeAll(h, 0, x, 0, h, y, 0, 0, 1)
        whole.addPath(tree[0], matrix)
        lit.addPath(tree[2 if light.side > 0 else 1], matrix)
    y0, y1 = float(np.min(ys)) - height, float(np.max(ys)) + 0.04
    if haze < 0.2:
        pen.edge(whole, 0.014)  # half of it is hidden by what follows
    dark = light.half(c, 0.22)
    pen.fade(whole, y0, y1, mix(dark, light.haze, haze), mix(dark, light.haze, min(1, haze + 0.28)), steps=2)
    glint = light.lit(SNOW if snow else mix(c, (255, 255, 210), 0.14), haze)
    pen.fade(lit, y0, y1, glint, mix(glint, light.haze, 0.3), (0.9, 0.75) if snow else (0.62, 0.38), steps=2)


def round_trees(world: World, name: str, curve: Curve, size: float, haze: float, tall: bool) -> None:
    """Rows of round trees, or of cypresses, on a curve."""
    rng, light, pen = world.rng(name), world.light, world.pen
    xs, ys = curve
    dark, bright = skia.Path(), skia.Path()
    for start in rng.uniform(world.left, world.right, world.count(rng, 1.0, 2.0)):
        for x in start + np.cumsum(rng.uniform(1.5, 3.4, rng.integers(3, 8))) * size:
            s = size * rng.uniform(0.75, 1.2)
            across, up = (0.5 * s, 2.6 * s) if tall else (s, s)
            y = float(np.interp(x, xs, ys)) + 0.008
            dark.addPath(oval(x, y - up, across, up))
            bright.addPath(oval(x + light.side * across * 0.28, y - up * 1.18, across * 0.56, up * 0.66))
    if haze < 0.4:
        pen.edge(dark, 0.012)
    pen.fill(dark, mix(light.half(PINE, 0.25), light.haze, haze))
    pen.fill(bright, light.lit(mix(PINE, (142, 178, 84), 0.4), haze), 0.75, soft=0.002)
