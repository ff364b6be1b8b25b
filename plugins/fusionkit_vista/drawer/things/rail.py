"""A steam train and the line that it runs on."""

from __future__ import annotations

import numpy as np
import skia

from fusionkit_vista.drawer.light import ROCK, SNOW, mix
from fusionkit_vista.drawer.pen import box, oval, path
from fusionkit_vista.drawer.spec import Thing
from fusionkit_vista.drawer.world import World


def track(world: World, thing: Thing) -> None:
    """A low viaduct across the whole drawing."""
    pen, light, s = world.pen, world.light, thing.size
    y, deck, pier = thing.y, 0.16 * s, 0.42 * s
    stone = mix(ROCK, (188, 140, 110), 0.5)
    arches = skia.Path()
    whole = box(world.left, y, world.right, y + deck + pier)
    first = world.left - world.left % 0.14
    for x in np.arange(first, world.right, 0.14):
        arches.addPath(
            path(
                [
                    (x + 0.062 * np.cos(a), y + deck + pier + 0.004 - 1.0 * pier * np.sin(a) ** 0.7)
                    for a in np.linspace(0, np.pi, 15)
                ]
            )
        )
    bridge = skia.Op(whole, arches, skia.PathOp.kDifference_PathOp)
    pen.fade(bridge, y, y + deck + pier, light.lit(stone), light.half(stone, 0.35), steps=2)
    pen.edge(bridge, 0.006)
    pen.fill(box(world.left, y - 0.004, world.right, y + 0.006), light.dim((70, 60, 66)))


def train(world: World, rng: np.random.Generator, size: float) -> None:
    """An engine under steam with two coaches."""
    pen, light = world.pen, world.light
    way = 1 if rng.random() < 0.5 else -1
    body = ((38, 60, 74), (50, 50, 62), (30, 84, 72))[rng.integers(3)]
    coach = ((190, 58, 48), (200, 140, 56), (44, 98, 136))[rng.integers(3)]
    pen.canvas.save()
    pen.canvas.scale(way, 1)
    steam = mix(mix(light.haze, light.lit(SNOW), 0.7), (255, 255, 255), 0.15)
    puffs = skia.Path()
    for t in np.linspace(0, 1, 9):
        puffs.addCircle(0.98 - 1.7 * t, -0.92 - 0.5 * t**0.7 + 0.06 * np.sin(9 * t), 0.09 + 0.19 * t)
    pen.edge(puffs, 0.06)
    pen.fill(puffs, steam, 0.85, soft=0.04)
    for x in (-1.28, -0.5):
        wagon = skia.Path()
        wagon.addRRect(skia.RRect.MakeRectXY(skia.Rect.MakeLTRB(x, -0.58, x + 0.74, -0.1), 0.06, 0.06))
        pen.fade(wagon, -0.58, -0.1, light.lit(coach), light.half(coach, 0.55), steps=2)
        pen.fill(box(x, -0.2, x + 0.74, -0.14), light.half((240, 220, 170), 0.6))
        pen.edge(wagon, 0.035)
        pen.fill(box(x - 0.02, -0.64, x + 0.76, -0.56), light.half((90, 84, 92), 0.6))
        for k in range(3):
            pen.lamp(x + 0.15 + 0.22 * k, -0.4, 0.13, 0.16)
    cab = box(0.32, -0.72, 0.62, -0.1)
    pen.fill(cab, light.half(body, 0.7))
    pen.edge(cab, 0.035)
    pen.fill(box(0.27, -0.8, 0.67, -0.7), light.half((190, 58, 48), 0.7))
    pen.lamp(0.47, -0.52, 0.15, 0.17)
    boiler = skia.Path()
    boiler.addRRect(skia.RRect.MakeRectXY(skia.Rect.MakeLTRB(0.58, -0.54, 1.24, -0.14), 0.1, 0.1))
    pen.fade(boiler, -0.54, -0.14, mix(light.lit(body), (255, 255, 255), 0.22), light.half(body, 0.4), steps=2)
    pen.edge(boiler, 0.035)
    chimney = path([(0.92, -0.5), (0.88, -0.86), (1.1, -0.86), (1.06, -0.5)])
    pen.fill(chimney, light.half(body, 0.4))
    pen.fill(oval(0.74, -0.55, 0.08, 0.08), light.half((220, 170, 80), 0.8))
    pen.shape([(1.2, -0.2), (1.3, 0.0), (1.04, 0.0)], light.half((190, 58, 48), 0.6))
    wheels = skia.Path()
    for x, r in ((-1.12, 0.09), (-0.72, 0.09), (-0.34, 0.09), (0.06, 0.09), (0.47, 0.13), (0.76, 0.13), (1.04, 0.11)):
        wheels.addCircle(x, -r, r)
    pen.fill(wheels, light.dim((80, 74, 84)))
    pen.fill(box(-1.28, -0.14, 1.2, -0.09), light.dim((90, 84, 92)))
    pen.canvas.restore()
