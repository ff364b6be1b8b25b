"""The desert: table mountains and dunes."""

from __future__ import annotations

import numpy as np

from fusionkit_vista.drawer.geography import HORIZON
from fusionkit_vista.drawer.land import layer
from fusionkit_vista.drawer.light import Colour, mix
from fusionkit_vista.drawer.pen import path
from fusionkit_vista.drawer.world import Curve, World


def table_mountains(world: World, name: str, haze: float, stone: Colour) -> None:
    """Flat-topped mountains of a desert."""
    rng, light, pen = world.rng(name), world.light, world.pen
    for _ in range(world.count(rng, 1.0, 2.2)):
        x, w, h = rng.uniform(world.left, world.right), rng.uniform(0.06, 0.15), rng.uniform(0.1, 0.2)
        top, foot = HORIZON - h, HORIZON + 0.03
        half = [(1.9, foot), (1.12, foot - h * 0.42), (1.0, top + 0.014), (0.88, top)]
        whole = path([(x - a * w, y) for a, y in half] + [(x + a * w, y) for a, y in half[::-1]])
        bright = light.lit(stone, haze)
        pen.fade(whole, top, foot, bright, mix(bright, light.haze, 0.5), steps=2)
        with pen.inside(whole):
            away = -light.side
            shade = [
                (x + away * w * 0.1, top - 0.02),
                (x + away * 2 * w, top - 0.02),
                (x + away * 2.2 * w, foot),
                (x + away * w * 0.3, foot),
            ]
            pen.shape(shade, light.dim(stone, haze), 0.55)
            for k in (0.2, 0.48):
                y = top + h * k
                pen.shape(
                    [(x - w * 2, y), (x + w * 2, y), (x + w * 2, y + 0.009), (x - w * 2, y + 0.009)],
                    light.dim(stone, haze),
                    0.25,
                )
        pen.edge(whole, 0.008, 1 - haze)


def dunes(world: World, name: str, base: float, height: float, haze: float, sand: Colour) -> Curve:
    """Dunes with sharp crests, whose side away from the light is in the shade."""
    rng, light, pen = world.rng(name), world.light, world.pen
    xs = world.xs(70)
    count = max(2, round(world.span * 0.9))
    at = world.left + (np.arange(count) + 0.5 + rng.uniform(-0.35, 0.35, count)) / count * world.span
    crest = np.max(
        rng.uniform(0.6, 1, (count, 1))
        * np.exp(-np.abs(xs - at[:, None]) * np.where((xs - at[:, None]) * light.side > 0, 2.0, 4.2)),
        0,
    )
    ys = base - height * crest - 0.012 * world.wave(rng, xs)
    lit = light.lit(sand, haze)
    whole = layer(world, xs, ys, lit, mix(lit, light.dim(sand, haze), 0.35), 0.22)
    t = np.linspace(0, 1, 16)
    shade = light.dim(sand, haze)
    with pen.inside(whole):
        for x in at:  # from the crest down in a swing, and back up to where the crest ends
            i = int(np.argmin(np.abs(xs - x)))
            far = i - light.side * np.arange(1, 30)
            far = far[(far >= 0) & (far < len(xs))]
            if not len(far):
                continue
            far = far[: int(np.argmax(ys[far])) + 1]
            low = 0.12 + 0.9 * height
            swing = xs[i] + light.side * (0.07 * np.sin(t * 3.4) + 0.02 * t)
            points = [(xs[i], ys[i] - 0.003), *zip(xs[far], ys[far] - 0.003, strict=True)]
            points += zip(swing[::-1], ys[i] + t[::-1] * low, strict=True)
            if pen.woodcut:
                pen.shape(points, shade, 0.6)
            else:
                pen.fade(path(points), float(ys[i]), float(ys[i]) + low, shade, shade, (0.66, 0.2))
    return xs, ys
