"""What stands in the water: islands, far and near cliffs, rocks."""

from __future__ import annotations

import numpy as np
import skia

from fusionkit_vista.drawer.geography import HORIZON, Headland, headlands, turf
from fusionkit_vista.drawer.light import GRASS, PINE, ROCK, SNOW, Colour, mix
from fusionkit_vista.drawer.pen import lens, oval, path
from fusionkit_vista.drawer.world import World


def islands(world: World, few: float, many: float) -> None:
    """Islands and far shores at the horizon."""
    rng, pen, light = world.rng("islands"), world.pen, world.light
    for haze in np.linspace(0.72, 0.42, world.count(rng, few, many)):
        x, w, h = rng.uniform(world.left, world.right), rng.uniform(0.14, 0.34), rng.uniform(0.04, 0.11)
        at = np.linspace(-1, 1, 40)
        bumps = np.interp(at, np.linspace(-1, 1, 13), rng.uniform(-0.3, 0.3, 13))
        ys = HORIZON + 0.003 - h * np.clip(1 - np.abs(at) ** 1.6, 0, 1) * (1 + bumps)
        stone = mix(ROCK, PINE, 0.4)
        shape = path(zip(x + at * w, ys, strict=True))
        pen.fade(
            shape,
            HORIZON - h,
            HORIZON,
            mix(light.lit(stone, haze), light.dim(stone, haze), 0.3),
            mix(light.dim(PINE, haze), light.haze, 0.4),
            steps=2,
        )
        pen.edge(shape, 0.007, 1 - haze)


def far_cliffs(world: World) -> None:
    """Hazy headlands in the distance."""
    rng, light, pen = world.rng("far cliffs"), world.light, world.pen
    xs = world.xs(60)
    up = np.clip(0.5 + 1.5 * world.wave(rng, xs, 0.8), 0, 1)
    ys = HORIZON + 0.004 - up * (0.075 + 0.014 * world.noise(rng, xs, 7, 3))
    shape = path([(world.left, HORIZON + 0.004), *zip(xs, ys, strict=True), (world.right, HORIZON + 0.004)])
    stone = mix(ROCK, (170, 120, 96), 0.4)
    pen.fade(shape, HORIZON - 0.1, HORIZON, light.lit(stone, 0.5), light.dim(stone, 0.55), steps=2)
    pen.edge(path(zip(xs, ys, strict=True), False), 0.007, 0.6)


def cliffs(world: World) -> None:
    """The near headlands, with turf on top and surf at their feet."""
    stone = mix(ROCK, (172, 120, 92), float(world.rng("stone").random()))
    for number, cliff in enumerate(headlands(world.spec.seed, world.spec.width)):
        if cliff.left < world.right and cliff.right > world.left:
            _cliff(world, cliff, stone, number)


def _cliff(world: World, cliff: Headland, stone: Colour, number: int) -> None:
    rng, light, pen = world.rng(f"cliff {number}"), world.light, world.pen
    xs = np.linspace(cliff.left, cliff.right, 48)
    ridge = np.array([turf(cliff, x) for x in xs]) + 0.004 * np.sin(xs * 17)
    ends = []
    for way, x, y in ((-1, cliff.left, ridge[0]), (1, cliff.right, ridge[-1])):
        out = np.cumsum(rng.uniform(0, 1, 12))
        out *= (0.1 if way == cliff.steep else 0.04) / out[-1]
        ends.append([(x + way * o, y + (cliff.foot - y) * t) for o, t in zip(out, np.linspace(0, 1, 12), strict=True)])
    foot_xs = np.linspace(ends[1][-1][0], ends[0][-1][0], 48)
    foot = [(x, cliff.foot + 0.010 * np.sin(x * 23) + 0.008 * np.sin(x * 51)) for x in foot_xs]
    whole = path([*zip(xs, ridge, strict=True), *ends[1], *foot, *ends[0][::-1]])
    surf = path([(x, y + 0.014 + 0.006 * np.sin(x * 80)) for x, y in foot] + [(x, y - 0.02) for x, y in foot[::-1]])
    pen.fill(surf, light.lit(SNOW), 0.8, soft=0.004)
    pen.fade(whole, cliff.top, cliff.foot, light.lit(stone), light.half(stone, 0.3), steps=3)
    with pen.inside(whole):
        _rock_face(world, rng, cliff, stone)
        hem = 0.03 + 0.012 * world.noise(rng, xs, 14, 2)
        grass = light.lit(mix(GRASS, PINE, 0.3))
        green = path([*zip(xs, ridge - 0.02, strict=True), *zip(xs[::-1], (ridge + hem)[::-1], strict=True)])
        pen.fade(green, cliff.top, cliff.foot, grass, mix(grass, light.dim(PINE), 0.35), steps=3)
        if pen.woodcut:
            pen.stroke(path(zip(xs, ridge + hem, strict=True), False), pen.ink, 0.005, 0.7)
    pen.edge(whole)
    x = (cliff.right + 0.16 if cliff.steep > 0 else cliff.left - 0.16) + cliff.steep * rng.uniform(0, 0.05)
    if rng.random() < 0.7:
        _stack(world, x, cliff.foot - rng.uniform(0.0, 0.06), rng.uniform(0.07, 0.12), stone)


def _rock_face(world: World, rng: np.random.Generator, cliff: Headland, stone: Colour) -> None:
    """Clefts in the shade, and ribs in the light between them."""
    light, pen = world.light, world.pen
    clefts, ribs = skia.Path(), skia.Path()
    x, lean = cliff.left - 0.05, 0.04 * light.side
    while x < cliff.right + 0.1:
        w, top, foot = rng.uniform(0.025, 0.07), turf(cliff, x) - 0.01, cliff.foot + 0.05
        middle = (x + w * 0.45, (top + foot) / 2)
        clefts.addPath(path([(x, top), (x + w, top), (x + w * 0.8 - lean, foot), (x + w * 0.1 - lean, foot), middle]))
        ribs.addPath(path([(x + w, top), (x + w * 1.5, top), (x + w * 1.2 - lean, foot - 0.1)]))
        x += w + rng.uniform(0.03, 0.09)
    pen.fill(clefts, light.dim(stone), 0.5)
    pen.fill(ribs, light.lit(mix(stone, (255, 255, 255), 0.35)), 0.6)


def _stack(world: World, x: float, foot: float, high: float, stone: Colour) -> None:
    """A rock that the sea has left standing before a cliff."""
    light, pen = world.light, world.pen
    w = high * 0.42
    pen.fill(lens(x, foot + 0.002, w * 2.2, 0.014), light.lit(SNOW), 0.75, soft=0.003)
    shape = path(
        [
            (x - w, foot),
            (x - w * 0.8, foot - high * 0.6),
            (x - w * 0.3, foot - high),
            (x + w * 0.35, foot - high * 0.92),
            (x + w * 0.85, foot - high * 0.5),
            (x + w, foot),
        ]
    )
    pen.fade(shape, foot - high, foot, light.lit(stone), light.half(stone, 0.3), steps=2)
    with pen.inside(shape):
        a = -light.side
        pen.shape(
            [(x, foot - high), (x + a * w, foot - high), (x + a * w, foot), (x + a * 0.3 * w, foot)],
            light.dim(stone),
            0.5,
        )
    pen.edge(shape, 0.006)


def rock(world: World, x: float, y: float, size: float) -> None:
    """A small rocky island for a thing to stand on, with its mirror image and surf."""
    rng, light, pen = world.rng("rock"), world.light, world.pen
    at = np.linspace(-1, 1, 25)
    bumps = np.interp(at, np.linspace(-1, 1, 12), rng.uniform(-0.16, 0.16, 12))
    up = np.clip((1 - np.abs(at) ** 2.4) * (1 + bumps), 0, None)
    half, high = 1.15 * size, 0.34 * size
    foot = y + high - 0.012
    stone = mix(ROCK, (150, 110, 96), 0.4)
    pen.fill(path([(x + a * half, foot + u * high * 0.8) for a, u in zip(at, up, strict=True)]), light.dim(stone), 0.4)
    pen.fill(lens(x, foot + 0.003, half * 1.2, 0.02), light.lit(SNOW), 0.7, soft=0.003)
    shape = path([(x + a * half, foot - u * high) for a, u in zip(at, up, strict=True)])
    pen.fade(shape, y, foot, light.lit(stone), light.dim(stone), steps=2)
    with pen.inside(shape):
        away = -light.side
        pen.shape(
            [
                (x + away * 0.1 * half, y - 0.2),
                (x + away * 2 * half, y - 0.2),
                (x + away * 2 * half, foot),
                (x + away * 0.4 * half, foot),
            ],
            light.dim(stone),
            0.5,
        )
        pen.fill(oval(x, y + 0.01, half * 0.7, high * 0.22), light.lit(mix(GRASS, PINE, 0.5)), 0.8)
    pen.edge(shape, 0.007)
