"""Where one sleeps: cabins and tents with a camp fire."""

from __future__ import annotations

import numpy as np
import skia

from fusionkit_vista.drawer.light import ROCK, SNOW, WARM, mix
from fusionkit_vista.drawer.pen import box, oval, path
from fusionkit_vista.drawer.world import World


def _shadow(world: World, half: float) -> None:
    world.pen.fill(oval(-world.light.side * 0.1, 0.0, half, 0.1), world.light.dim((60, 60, 80)), 0.4, soft=0.04)


def cabin(world: World, rng: np.random.Generator, size: float) -> None:
    """A log cabin with lit windows and smoke from its chimney."""
    pen, light = world.pen, world.light
    snow = world.spec.scene == "a snowy forest" or world.spec.weather == "in snowfall"
    wood = ((178, 112, 70), (150, 84, 62), (190, 70, 54))[rng.integers(3)]
    roof = SNOW if snow else ((178, 66, 50), (92, 84, 96), (70, 104, 92))[rng.integers(3)]
    _shadow(world, 1.1)
    puffs = skia.Path()
    for t in np.linspace(0, 1, 6):
        puffs.addCircle(0.51 - world.light.side * 0.5 * t * t, -1.5 - 0.9 * t, 0.07 + 0.13 * t)
    pen.fill(puffs, mix(light.haze, light.lit(SNOW), 0.6), 0.6, soft=0.05)
    chimney = box(0.42, -1.38, 0.62, -0.8)
    pen.fill(chimney, light.half(ROCK, 0.5))
    pen.edge(chimney, 0.04)
    wall = box(-0.1, -0.6, 0.82, 0)
    pen.fill(wall, light.half(wood, 0.9 if light.side > 0 else 0.35))
    front = path([(-0.86, 0), (-0.86, -0.6), (-0.42, -1.14), (0.02, -0.6), (0.02, 0)])
    pen.fill(front, light.half(wood, 0.5 if light.side > 0 else 0.95))
    for y in (-0.15, -0.3, -0.45):
        pen.fill(box(-0.86, y - 0.012, 0.82, y + 0.012), light.dim(wood), 0.35)
    pen.edge(wall, 0.04)
    pen.edge(front, 0.04)
    slope = path([(-0.42, -1.22), (0.74, -1.22), (0.97, -0.55), (0.04, -0.55)])
    pen.fill(slope, light.lit(roof) if light.side > 0 or snow else light.half(roof, 0.65))
    pen.edge(slope, 0.04)
    gable = path([(-0.42, -1.22), (-1.02, -0.52), (-0.89, -0.49), (-0.42, -1.03), (0.04, -0.49), (0.13, -0.55)])
    pen.fill(gable, light.half(roof, 0.75))
    pen.lamp(-0.42, -0.66, 0.2, 0.2)
    pen.lamp(0.45, -0.31, 0.3, 0.26)
    door = box(-0.54, -0.4, -0.3, 0)
    pen.fill(door, light.dim((120, 74, 56)))


def tent(world: World, rng: np.random.Generator, size: float) -> None:
    """A tent, lit from within when it is dark, and a fire beside it."""
    pen, light = world.pen, world.light
    cloth = ((240, 132, 52), (222, 84, 60), (246, 190, 70), (70, 150, 150))[rng.integers(4)]
    _shadow(world, 1.1)
    lift = 0.62 if light.dark else 0.15
    side = path([(-0.2, -1.0), (0.36, -0.84), (0.95, 0.0), (0.3, 0.02)])
    pen.fill(side, mix(light.half(cloth, 0.8 if light.side > 0 else 0.4), cloth, lift * 0.7))
    pen.edge(side, 0.04)
    front = path([(-0.2, -1.02), (0.32, 0.02), (-0.92, 0.02)])
    pen.fill(front, mix(light.half(cloth, 0.95 if light.side < 0 else 0.65), cloth, lift))
    inner = path([(-0.22, -0.72), (0.06, 0.02), (-0.48, 0.02)])
    pen.fill(inner, mix(WARM, (255, 236, 170), 0.4) if light.dark else light.dim(cloth))
    pen.edge(front, 0.04)
    if light.dark:
        pen.glow(-0.22, -0.3, 1.5, WARM, 0.7)
    fire(world)


def fire(world: World) -> None:
    """A camp fire to the right of the tent."""
    pen, light = world.pen, world.light
    pen.stroke(path([(0.98, 0.0), (1.4, -0.08)], False), light.dim((120, 80, 60)), 0.08)
    pen.stroke(path([(0.98, -0.08), (1.4, 0.0)], False), light.dim((130, 90, 64)), 0.08)
    flame = skia.Path()
    flame.moveTo(1.0, -0.08)
    flame.cubicTo(0.92, -0.34, 1.16, -0.36, 1.16, -0.62)
    flame.cubicTo(1.3, -0.46, 1.42, -0.3, 1.36, -0.08)
    flame.close()
    pen.fill(flame, (255, 138, 42))
    pen.fill(oval(1.19, -0.16, 0.09, 0.13), (255, 236, 140))
    pen.glow(1.19, -0.2, 1.3 if light.dark else 0.6, (255, 190, 90), 0.85 if light.dark else 0.5)
