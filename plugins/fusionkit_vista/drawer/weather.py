"""What falls or hangs before everything: mist, snow and rain."""

from __future__ import annotations

import skia

from fusionkit_vista.drawer.geography import HORIZON
from fusionkit_vista.drawer.land import mist
from fusionkit_vista.drawer.light import SNOW, mix
from fusionkit_vista.drawer.pen import box, lens, path
from fusionkit_vista.drawer.words import MIST, RAIN, SNOWFALL
from fusionkit_vista.drawer.world import World


def before_things(world: World) -> None:
    """Banks of mist that lie on the land or the water, behind the things of the foreground."""
    if world.spec.weather != MIST:
        return
    rng, pen, light = world.rng("banks"), world.pen, world.light
    for y, half in ((HORIZON - 0.02, 0.09), (HORIZON + 0.13, 0.07)):
        mist(world, f"bank {y}", y, half, 0.6)
    pale = mix(light.haze, light.lit((255, 255, 255)), 0.35)
    for _ in range(world.count(rng, 3, 5)):
        y = rng.uniform(HORIZON - 0.12, HORIZON + 0.22)
        shape = lens(rng.uniform(world.left, world.right), y, rng.uniform(0.22, 0.5), rng.uniform(0.025, 0.05))
        pen.fill(shape, pale, 0.85 if pen.woodcut else 0.55, soft=0.012)


def before_all(world: World) -> None:
    """Snowflakes or streaks of rain."""
    if world.spec.weather == SNOWFALL:
        _snow(world)
    elif world.spec.weather == RAIN:
        _rain(world)


def _snow(world: World) -> None:
    rng, pen = world.rng("snow"), world.pen
    white = mix(SNOW, world.light.lit(SNOW), 0.4)
    pen.fill(box(world.left, -0.5, world.right, 1.5), world.light.haze, 0.08)
    count = world.count(rng, 85, 100)
    flakes = skia.Path()
    for x, y, size in zip(
        rng.uniform(world.left, world.right, count), rng.uniform(-0.3, 1.3, count), rng.random(count), strict=True
    ):
        flakes.addCircle(float(x), float(y), 0.0045 + 0.008 * float(size) ** 3)
    pen.fill(flakes, white, 0.88)


def _rain(world: World) -> None:
    rng, pen = world.rng("rain"), world.pen
    count = world.count(rng, 60, 75)
    streaks = skia.Path()
    for x, y, size in zip(
        rng.uniform(world.left, world.right, count), rng.uniform(-0.3, 1.3, count), rng.random(count), strict=True
    ):
        long = 0.05 + 0.06 * float(size)
        streaks.addPath(
            path([(x, y), (x + 0.005, y), (x - 0.22 * long + 0.003, y + long), (x - 0.22 * long, y + long)])
        )
    pen.fill(streaks, mix(world.light.haze, (255, 255, 255), 0.4), 0.45 if pen.woodcut else 0.32)
