"""What flies: the sun, the moon, hot-air balloons and rockets."""

from __future__ import annotations

import numpy as np
import skia

from fusionkit_vista.drawer.geography import HORIZON
from fusionkit_vista.drawer.light import SNOW, WARM, mix
from fusionkit_vista.drawer.pen import box, oval, path
from fusionkit_vista.drawer.spec import Thing
from fusionkit_vista.drawer.world import World


def sun(world: World, rng: np.random.Generator, size: float) -> None:
    """A disc in its glow, redder at sunset."""
    pen, light = world.pen, world.light
    pen.glow(0, 0, 4.6, light.sun, 0.75)
    c = mix(light.sun, (255, 116, 66), float(rng.uniform(0.1, 0.5))) if world.spec.time == "at sunset" else light.sun
    disc = oval(0, 0, 1, 1)
    pen.fade(disc, -1, 1, mix(c, (255, 255, 240), 0.5), c, steps=2)
    pen.edge(disc, 0.05)


def moon(world: World, rng: np.random.Generator, size: float) -> None:
    """A full moon with its seas."""
    pen = world.pen
    pen.glow(0, 0, 3.8, (190, 206, 255), 0.5)
    disc = oval(0, 0, 1, 1)
    pen.fade(disc, -1, 1, (255, 253, 240), (224, 226, 238), steps=2)
    seas = skia.Path()
    for x, y, r in (
        (-0.32, -0.25, 0.27),
        (0.34, 0.1, 0.3),
        (-0.15, 0.45, 0.19),
        (0.15, -0.58, 0.15),
        (-0.62, 0.22, 0.12),
    ):
        seas.addCircle(x, y, r)
    pen.fill(seas, (182, 188, 212), 0.6)
    pen.edge(disc, 0.05)


_SILKS = (
    ((226, 62, 52), (255, 214, 96)),
    ((246, 166, 44), (252, 240, 220)),
    ((36, 112, 178), (252, 240, 220)),
    ((214, 52, 60), (252, 240, 226)),
    ((18, 146, 140), (255, 206, 110)),
    ((122, 62, 140), (255, 190, 110)),
)


def balloon(world: World, rng: np.random.Generator, size: float) -> None:
    """A striped hot-air balloon with its basket, lit from within when it is dark."""
    pen, light = world.pen, world.light
    one, two = _SILKS[rng.integers(len(_SILKS))]
    t = np.linspace(0, np.pi, 26)[:23]
    px = np.sin(t) * np.where(t > np.pi / 2, 1 - 0.06 * (t - np.pi / 2), 1)
    py = -np.cos(t) * np.where(t > np.pi / 2, 1.3, 1)
    envelope = path([*zip(px, py, strict=True), *zip(-px[::-1], py[::-1], strict=True)])
    lift = 0.5 if light.dark else 0.25
    with pen.inside(envelope):
        for k, c in ((1.2, one), (0.86, two), (0.56, one), (0.22, two)):
            pen.fill(oval(0, 0.2, k, 1.6) if k < 1 else box(-1.1, -1.1, 1.1, 1.4), mix(light.lit(c), c, lift))
        shade = light.dim((120, 105, 150))
        pen.fade(
            box(-1.1, -1.1, 1.1, 1.4),
            light.side * 0.35,
            -light.side * 1.0,
            shade,
            shade,
            (0.0, 0.6),
            across=True,
            steps=3,
        )
        pen.fill(box(-1.1, 0.98, 1.1, 1.4), mix(light.half(one, 0.5), one, 0.2))
        if light.dark:
            pen.glow(0, 0.85, 1.5, WARM, 0.85)
    pen.edge(envelope, 0.065)
    low = float(py[-1])
    ropes = path([(-px[-1], low), (-0.17, low + 0.3)], False)
    ropes.addPath(path([(px[-1], low), (0.17, low + 0.3)], False))
    pen.stroke(ropes, light.dim((90, 66, 56)), 0.035)
    basket = skia.Path()
    basket.addRRect(skia.RRect.MakeRectXY(skia.Rect.MakeLTRB(-0.22, low + 0.28, 0.22, 1.82), 0.06, 0.06))
    pen.fill(basket, light.half((160, 100, 58), 0.65))
    pen.edge(basket, 0.05)


def trail(world: World, thing: Thing) -> None:
    """A rocket's smoke, wider towards the ground."""
    rng, pen, light, s = world.rng("trail"), world.pen, world.light, thing.size
    smoke = mix(light.haze, tuple(min(255, v + 20) for v in light.lit(SNOW)), 0.65)
    puffs, lit = skia.Path(), skia.Path()
    top = thing.y + s * 1.2
    for k in np.linspace(0, 1, 20):
        y = top + (HORIZON + 0.02 - top) * k
        radius = s * (0.12 + 0.36 * k**1.3) * rng.uniform(0.85, 1.15)
        x = thing.x + rng.uniform(-1, 1) * s * 0.16 * k
        puffs.addCircle(x, y, radius)
        lit.addCircle(x + light.side * radius * 0.25, y - radius * 0.1, radius * 0.7)
    pen.edge(puffs, 0.014)
    pen.fill(puffs, mix(smoke, light.haze, 0.35), 0.85, soft=0.004)
    pen.fill(lit, smoke, 0.8, soft=0.006)


def rocket(world: World, rng: np.random.Generator, size: float) -> None:
    """A rocket on its flame."""
    pen, light = world.pen, world.light
    white, red = (248, 246, 246), (222, 58, 50)
    pen.glow(0, 1.0, 1.5, (255, 190, 90), 0.9)
    pen.shape([(-0.19, 0.72), (0.19, 0.72), (0.1, 1.2), (0, 1.62), (-0.1, 1.2)], (255, 140, 44), soft=0.02)
    pen.shape([(-0.11, 0.72), (0.11, 0.72), (0, 1.26)], (255, 240, 160), soft=0.01)
    for way in (-1, 1):
        fin = path([(way * 0.2, 0.12), (way * 0.5, 0.6), (way * 0.5, 0.98), (way * 0.17, 0.72)])
        pen.fill(fin, mix(light.lit(red) if way == light.side else light.half(red, 0.3), red, 0.3))
        pen.edge(fin, 0.045)
    t = np.linspace(0, 1, 14)
    half = (
        0.31
        * np.sin(np.clip(t * 1.25 + 0.03, 0, 1) * np.pi / 2) ** 0.8
        * (1 - 0.3 * np.clip((t - 0.6) / 0.4, 0, 1) ** 2)
    )
    ys = -1.05 + 1.8 * t
    whole = path([*zip(-half, ys, strict=True), *zip(half[::-1], ys[::-1], strict=True)])
    with pen.inside(whole):
        pen.fill(box(-1, -1.1, 1, 1), mix(light.lit(white), white, 0.35))
        pen.fill(box(-1, -1.1, 1, -0.52), mix(light.lit(red), red, 0.35))
        pen.fill(box(-1, 0.5, 1, 0.62), mix(light.lit(red), red, 0.3))
        shade = light.dim((140, 140, 185))
        pen.fade(
            box(-1, -1.1, 1, 1), light.side * 0.06, -light.side * 0.3, shade, shade, (0.0, 0.72), across=True, steps=2
        )
    pen.edge(whole, 0.05)
    pen.fill(oval(0, -0.2, 0.15, 0.15), light.half((170, 170, 180), 0.6))
    pen.fill(oval(0, -0.2, 0.1, 0.1), mix((90, 190, 240), light.sky[0], 0.25))
