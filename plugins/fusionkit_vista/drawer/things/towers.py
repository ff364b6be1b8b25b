"""What stands tall: lighthouses, castles and windmills."""

from __future__ import annotations

import numpy as np
import skia

from fusionkit_vista.drawer.light import GRASS, PINE, ROCK, mix
from fusionkit_vista.drawer.pen import box, oval, path
from fusionkit_vista.drawer.world import World


def lighthouse(world: World, rng: np.random.Generator, size: float) -> None:
    """A striped tower with its lamp and beam, and the keeper's house beside it."""
    pen, light = world.pen, world.light
    white, red = (252, 246, 236), (212, 56, 46)
    house = box(0.2, -0.34, 0.76, 0)
    pen.fill(house, light.half(white, 0.75))
    pen.edge(house, 0.04)
    roof = path([(0.12, -0.32), (0.82, -0.32), (0.68, -0.6), (0.3, -0.6)])
    pen.fill(roof, light.half(red, 0.65))
    pen.edge(roof, 0.04)
    pen.lamp(0.56, -0.17, 0.15, 0.15)
    tower = path([(-0.28, 0), (0.28, 0), (0.17, -1.5), (-0.17, -1.5)])
    with pen.inside(tower):
        for k in range(5):
            pen.fill(box(-1, -(k + 1) * 0.3, 1, -k * 0.3), light.lit(red if k % 2 else white))
        shade = light.dim((150, 140, 180))
        pen.fade(
            box(-1, -2, 1, 0), light.side * 0.12, -light.side * 0.28, shade, shade, (0.0, 0.75), across=True, steps=2
        )
    pen.edge(tower, 0.04)
    pen.fill(box(-0.26, -1.57, 0.26, -1.48), light.dim((100, 90, 100)))
    pen.fill(box(-0.13, -1.84, 0.13, -1.56), (255, 226, 140))
    cap = path([(-0.22, -1.82), (0.22, -1.82), (0, -2.08)])
    pen.fill(cap, light.lit(red))
    pen.edge(cap, 0.04)
    if world.spec.time != "at noon":
        pen.glow(0, -1.7, 0.9, (255, 236, 170), 0.9)
    if light.dark:
        for way in (-1, 1):
            beam = path([(0, -1.74), (way * 4.4, -2.25), (way * 4.4, -1.4), (0, -1.66)])
            pen.fade(beam, 0, way * 4.4, (255, 240, 190), (255, 240, 190), (0.6, 0.0), across=True, soft=0.02)


def castle(world: World, rng: np.random.Generator, size: float) -> None:
    """A castle of four towers with pointed roofs, on a mound where there is no rock for it."""
    pen, light = world.pen, world.light
    wall = (226, 212, 198)
    roof = ((198, 78, 60), (64, 90, 146), (78, 116, 108))[rng.integers(3)]
    if world.spec.scene in ("mountains", "a forest", "green hills"):
        t = np.linspace(-1, 1, 26)
        mound = path(zip(t * 1.9, -0.04 + 0.66 * (1 - np.cos(np.pi * t / 2) ** 1.3), strict=True))
        c = mix(GRASS, PINE, 0.6) if world.spec.scene != "mountains" else mix(ROCK, PINE, 0.5)
        top = light.half(c, 0.6)
        if pen.woodcut:
            pen.fill(mound, light.lit(c))
            pen.edge(
                path(zip(t * 1.2, -0.04 + 0.66 * (1 - np.cos(np.pi * t * 0.63 / 2) ** 1.3), strict=True), False), 0.04
            )
        else:
            pen.fade(mound, -0.04, 0.6, top, mix(top, light.dim(PINE), 0.35), (1.0, 0.0))
    bright, dark = light.lit(wall, 0.05), light.half(wall, 0.3)

    def tower(x: float, w: float, h: float, cone: float) -> None:
        body = box(x - w / 2, -h, x + w / 2, 0)
        pen.fill(body, dark)
        edge = x + light.side * w / 2
        a, b = sorted((edge, edge - light.side * w * 0.55))
        pen.fill(box(a, -h, b, 0), bright)
        pen.edge(body, 0.035)
        hat = path([(x - w * 0.72, -h), (x + w * 0.72, -h), (x, -h - cone)])
        pen.fill(hat, light.half(roof, 0.4))
        pen.shape([(x, -h), (x + light.side * w * 0.72, -h), (x, -h - cone)], light.lit(roof))
        pen.edge(hat, 0.035)

    tower(-0.1, 0.36, 1.24, 0.66)
    tower(0.3, 0.28, 0.92, 0.52)
    keep = box(-0.62, -0.5, 0.62, 0)
    for k in range(7):
        keep.addPath(box(-0.62 + k * 0.19, -0.59, -0.52 + k * 0.19, -0.49))
    pen.fill(keep, mix(dark, bright, 0.5))
    pen.edge(keep, 0.03)
    tower(-0.61, 0.31, 0.72, 0.48)
    tower(0.61, 0.31, 0.64, 0.46)
    for x, y in ((-0.1, 1.0), (0.3, 0.72), (-0.3, 0.27), (0.28, 0.27), (-0.61, 0.48), (0.61, 0.4)):
        pen.lamp(x, -y, 0.085, 0.14)
    gate = path([(-0.12, 0), (-0.12, -0.18), (0, -0.29), (0.12, -0.18), (0.12, 0)])
    pen.fill(gate, light.dim((90, 66, 66)))


def windmill(world: World, rng: np.random.Generator, size: float) -> None:
    """A tower mill with four lattice sails."""
    pen, light = world.pen, world.light
    wall = ((240, 232, 220), (178, 96, 70))[rng.integers(2)]
    cap_colour = ((110, 74, 62), (64, 90, 120))[rng.integers(2)]
    body = path([(-0.4, 0), (0.4, 0), (0.25, -1.1), (-0.25, -1.1)])
    with pen.inside(body):
        pen.fill(box(-1, -2, 1, 0), light.lit(wall))
        shade = light.dim((150, 140, 170))
        pen.fade(
            box(-1, -2, 1, 0), light.side * 0.1, -light.side * 0.36, shade, shade, (0.0, 0.75), across=True, steps=2
        )
        pen.fill(box(-1, -0.52, 1, -0.44), light.half(wall, 0.25), 0.6)
    pen.edge(body, 0.04)
    cap = path([(0.3 * np.cos(a), -1.1 - 0.36 * np.sin(a)) for a in np.linspace(0, np.pi, 13)])
    pen.fill(cap, light.half(cap_colour, 0.6))
    pen.edge(cap, 0.04)
    pen.lamp(0, -0.72, 0.14, 0.17)
    pen.fill(path([(-0.1, 0), (-0.1, -0.26), (0.1, -0.26), (0.1, 0)]), light.dim((110, 70, 56)))
    turn = float(rng.uniform(0.35, 1.2))
    sails, beams = skia.Path(), skia.Path()
    for k in range(4):
        a = turn + k * np.pi / 2
        turned = skia.Matrix.MakeAll(np.cos(a), -np.sin(a), 0, np.sin(a), np.cos(a), -1.12, 0, 0, 1)
        sails.addPath(path([(0.2, 0.0), (0.93, 0.0), (0.93, 0.22), (0.24, 0.2)]), turned)
        beams.addPath(path([(0, 0), (0.94, 0)], False), turned)
    pen.fill(sails, light.lit((255, 248, 232)), 0.95)
    pen.edge(sails, 0.035)
    pen.stroke(beams, light.dim((120, 84, 66)), 0.05)
    pen.fill(oval(0, -1.12, 0.07, 0.07), light.dim((100, 72, 60)))
