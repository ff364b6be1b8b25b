"""The land: ranges and hills, and the mist before them."""

from __future__ import annotations

import numpy as np
import skia

from fusionkit_vista.drawer.light import ROCK, SNOW, Colour, mix
from fusionkit_vista.drawer.pen import lens, path
from fusionkit_vista.drawer.world import Curve, World

FLOOR = 1.5
"""How deep a drawing goes below the picture."""


def layer(world: World, xs: np.ndarray, ys: np.ndarray, top: Colour, bottom: Colour, depth: float) -> skia.Path:
    """Land below a curve, from the colour `top` at its highest place to `bottom` that much deeper."""
    shape = path([(world.left, FLOOR), *zip(xs, ys, strict=True), (world.right, FLOOR)])
    y0 = float(np.min(ys))
    world.pen.fade(shape, y0, y0 + depth, top, bottom, steps=3)
    world.pen.edge(path(zip(xs, ys, strict=True), False))
    return shape


def mountain_range(
    world: World, name: str, base: float, height: float, haze: float, snow: float, peaks: float, stone: Colour = ROCK
) -> None:
    """A range: lit and shaded flanks, snow above a jagged line at the share `snow` of its height, haze at its foot."""
    rng, pen, light = world.rng(name), world.pen, world.light
    xs = world.xs(150)
    count = max(3, round(peaks * world.span))
    at = world.left + (np.arange(count) + 0.5 + rng.uniform(-0.3, 0.3, count)) / count * world.span
    tall = height * rng.uniform(0.5, 1.0, count)
    slope = height * peaks * rng.uniform(0.9, 1.4, count)
    h = np.max(tall[:, None] - slope[:, None] * np.abs(xs - at[:, None]), 0)
    h = np.maximum(h, height * 0.12) + height * 0.075 * world.noise(rng, xs, 8, 4)
    ys = base - h
    foot, peak = base + 0.06, float(ys.min())
    lit = light.lit(stone, haze)
    whole = path([(world.left, FLOOR), *zip(xs, ys, strict=True), (world.right, FLOOR)])
    pen.fade(whole, peak, foot, lit, mix(lit, light.haze, 0.75), steps=3)
    with pen.inside(whole):
        if snow:
            line = base - height * (1 - snow)
            edge = line + height * 0.15 * world.noise(rng, xs, 13, 3, 0.75) - (h - height * 0.5) * 0.15
            pen.shape(
                [(world.left, -0.5), *zip(xs, edge, strict=True), (world.right, -0.5)], light.lit(SNOW, haze * 0.85)
            )
        shade = _flanks(world, rng, xs, ys, h, height, peaks)
        cool = light.dim((150, 150, 190), haze)
        if pen.woodcut:
            pen.fill(shade, light.dim((130, 130, 170), haze * 0.8), 0.9)
        else:
            pen.fade(shade, peak, foot, cool, mix(cool, light.haze, 0.5), (0.74 - 0.3 * haze, 0.1))
        fog = path(
            [(world.left, base - height), (world.right, base - height), (world.right, FLOOR), (world.left, FLOOR)]
        )
        pen.fade(fog, base - height * 0.55, foot, light.haze, light.haze, (0.0, 0.55 + 0.3 * light.veil))
    pen.edge(path(zip(xs, ys, strict=True), False), 0.009, 1 - haze)


def _flanks(
    world: World, rng: np.random.Generator, xs: np.ndarray, ys: np.ndarray, h: np.ndarray, height: float, peaks: float
) -> skia.Path:
    """The flanks that face away from the light, each from a peak down along a crooked spine."""
    side, n, result = world.light.side, len(xs), skia.Path()
    inner = np.flatnonzero((h[1:-1] > h[:-2]) & (h[1:-1] >= h[2:])) + 1
    peaked: list[int] = []
    for i in sorted(inner.tolist(), key=lambda i: -float(h[i])):
        if all(abs(i - j) > 9 for j in peaked):
            peaked.append(i)
    t = np.linspace(0, 1, 9)
    for i in sorted(peaked[: int(peaks * world.span * 2) + 2]):
        high = h[i] > 0.5 * height
        reach = int(150 / peaks * (0.8 if high else 0.32))
        j = np.clip(i - side * np.arange(0, reach, 2), 0, n - 1)
        drop = h[i] * (1.0 if high else 0.6)
        crooked = np.r_[0, 0.05 * height * rng.uniform(-1, 1, 8) * np.arange(1, 9) ** 0.5]
        spine = xs[i] + rng.uniform(-0.15, 0.3) * side * t * drop + crooked
        points = [*zip(xs[j], ys[j] - 0.004, strict=True), (xs[j[-1]], ys[i] + drop)]
        points += zip(spine[::-1], ys[i] + t[::-1] * drop, strict=True)
        result.addPath(path(points))
    return result


def hill(
    world: World,
    name: str,
    base: float,
    amplitude: float,
    c: Colour,
    haze: float = 0.0,
    depth: float = 0.25,
    frequency: float = 1.0,
    dark: float = 0.45,
) -> Curve:
    """A smooth hill; returns its curve."""
    xs = world.xs(44)
    ys = base - amplitude * world.wave(world.rng(name), xs, frequency)
    lit = world.light.lit(c, haze)
    layer(world, xs, ys, lit, mix(lit, world.light.dim(c, haze), dark), depth)
    return xs, ys


def mist(world: World, name: str, y: float, half: float, alpha: float) -> None:
    """A band of mist; a woodcut has long bars with round ends in its place."""
    pen, light = world.pen, world.light
    alpha = min(1.0, alpha * (1 + 0.9 * light.veil))
    if not pen.woodcut:
        pen.band(y, half, light.haze, alpha, world.left, world.right)
        return
    if alpha < 0.3:
        return
    rng, bars = world.rng(name + " mist"), skia.Path()
    for _ in range(world.count(rng, 1.4, 2.4) + int(3 * light.veil * world.span)):
        bars.addPath(
            lens(
                rng.uniform(world.left, world.right),
                y + rng.uniform(-0.5, 0.5) * half,
                rng.uniform(0.14, 0.4),
                half * rng.uniform(0.25, 0.4),
            )
        )
    pen.fill(bars, mix(light.haze, (255, 255, 255), 0.15), 0.85)
