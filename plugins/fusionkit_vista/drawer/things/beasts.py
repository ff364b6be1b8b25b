"""What only an expert knows: the dragon."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import skia

from fusionkit_vista.drawer.light import mix
from fusionkit_vista.drawer.pen import oval, path
from fusionkit_vista.drawer.world import World

_SKINS = (((58, 132, 84), (232, 178, 84)), ((186, 48, 48), (244, 176, 84)), ((104, 62, 140), (238, 150, 120)))


def _wing(root: tuple[float, float], wrist: tuple[float, float], tips: list[tuple[float, float]]) -> skia.Path:
    """A bat's wing: up to the wrist, and back along its fingers with scallops between them."""
    wing = skia.Path()
    wing.moveTo(*root)
    wing.quadTo(root[0] * 0.6 + wrist[0] * 0.4, wrist[1] * 0.7 + root[1] * 0.1, *wrist)
    wing.lineTo(*tips[0])
    for a, b in pairwise(tips):
        wing.quadTo((a[0] + b[0]) / 2 * 0.8 + wrist[0] * 0.2, (a[1] + b[1]) / 2 * 0.72 + wrist[1] * 0.28, *b)
    wing.close()
    return wing


def dragon(world: World, rng: np.random.Generator, size: float) -> None:
    """A dragon in flight, which breathes fire."""
    pen, light = world.pen, world.light
    skin, web = _SKINS[rng.integers(len(_SKINS))]
    way = 1 if rng.random() < 0.5 else -1
    pen.canvas.save()
    pen.canvas.scale(way, 1)
    lift = 0.35 if light.dark else 0.12
    bright, dark = mix(light.lit(skin), skin, lift), mix(light.half(skin, 0.45), skin, lift * 0.5)
    far = _wing((0.12, -0.06), (0.3, -0.78), [(0.62, -0.78), (0.56, -0.5), (0.4, -0.2), (0.2, 0.08)])
    pen.fill(far, mix(light.half(web, 0.45), web, lift * 0.5))
    pen.edge(far, 0.04)
    body = skia.Path()
    body.moveTo(-0.98, 0.44)  # the tail's tip, along the back to the head, and back along the belly
    body.cubicTo(-0.7, 0.62, -0.5, 0.28, -0.32, 0.06)
    body.cubicTo(-0.18, -0.12, 0.16, -0.16, 0.3, -0.08)
    body.cubicTo(0.44, -0.02, 0.42, -0.3, 0.58, -0.36)
    body.lineTo(0.56, -0.5)
    body.lineTo(0.68, -0.4)
    body.cubicTo(0.8, -0.38, 0.86, -0.3, 0.92, -0.24)
    body.cubicTo(0.84, -0.16, 0.74, -0.18, 0.68, -0.16)
    body.cubicTo(0.62, -0.02, 0.58, 0.2, 0.34, 0.24)
    body.cubicTo(0.1, 0.3, -0.16, 0.3, -0.34, 0.36)
    body.cubicTo(-0.52, 0.44, -0.7, 0.7, -0.98, 0.44)
    body.close()
    pen.fade(body, -0.4, 0.4, bright, dark, steps=2)
    with pen.inside(body):
        pen.fill(oval(0.16, 0.3, 0.42, 0.14), mix(light.lit(web), web, lift))
    pen.edge(body, 0.04)
    pen.shape([(-0.98, 0.44), (-0.94, 0.26), (-0.78, 0.5), (-0.96, 0.62)], dark)
    near = _wing((0.14, 0.02), (-0.1, -0.78), [(-0.66, -0.74), (-0.82, -0.36), (-0.6, -0.08), (-0.24, 0.12)])
    pen.fade(near, -0.78, 0.1, mix(light.lit(web), web, lift), mix(light.half(web, 0.6), web, lift), steps=2)
    fingers = skia.Path()
    for tip in ((-0.66, -0.74), (-0.82, -0.36), (-0.6, -0.08)):
        fingers.addPath(path([(-0.1, -0.78), tip], False))
    fingers.addPath(path([(-0.1, -0.78), (0.05, -0.4), (0.14, 0.02)], False))
    pen.stroke(fingers, dark, 0.045)
    pen.edge(near, 0.04)
    pen.fill(oval(0.74, -0.29, 0.035, 0.035), (255, 240, 160))
    flame = path([(0.9, -0.22), (1.0, -0.3), (0.99, -0.1), (1.0, 0.02), (0.9, -0.04)])
    pen.fill(flame, (255, 150, 50))
    pen.glow(0.96, -0.14, 0.34, (255, 190, 90), 0.9)
    pen.canvas.restore()
