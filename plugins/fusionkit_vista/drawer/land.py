"""The land: ranges, hills, conifers and other trees, dunes and mist before them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import skia

from fusionkit_vista.drawer.geography import HORIZON
from fusionkit_vista.drawer.light import PINE, ROCK, SNOW, Colour, mix
from fusionkit_vista.drawer.pen import lens, oval, path
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
    dark = light.half(c, 0.22)
    pen.fade(whole, y0, y1, mix(dark, light.haze, haze), mix(dark, light.haze, min(1, haze + 0.28)), steps=2)
    glint = light.lit(SNOW if snow else mix(c, (255, 255, 210), 0.14), haze)
    pen.fade(lit, y0, y1, glint, mix(glint, light.haze, 0.3), (0.9, 0.75) if snow else (0.62, 0.38), steps=2)
    if haze < 0.2:
        pen.edge(whole, 0.006, 0.8)


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
    pen.fill(dark, mix(light.half(PINE, 0.25), light.haze, haze))
    pen.fill(bright, light.lit(mix(PINE, (142, 178, 84), 0.4), haze), 0.75, soft=0.002)
    if haze < 0.4:
        pen.edge(dark, 0.006, 0.7)


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
