"""What floats: sailboats and whales."""

from __future__ import annotations

import numpy as np
import skia

from fusionkit_vista.drawer.light import mix
from fusionkit_vista.drawer.pen import lens, oval, path
from fusionkit_vista.drawer.world import World

_SAILS = ((255, 252, 244), (255, 252, 244), (236, 92, 62), (248, 196, 92))
_HULLS = ((150, 66, 48), (40, 62, 112), (120, 84, 60), (186, 54, 48))


def sailboat(world: World, rng: np.random.Generator, size: float) -> None:
    """A sloop under main sail and jib."""
    pen, light = world.pen, world.light
    sail, hull = _SAILS[rng.integers(len(_SAILS))], _HULLS[rng.integers(len(_HULLS))]
    bright = tuple(min(255.0, v * 1.05 + 16) for v in light.lit(sail))
    dark = mix(light.half(sail, 0.5), light.haze, 0.12)
    t = np.linspace(0, 1, 9)
    main = path(
        [
            (0.05, -0.24),
            *zip(0.05 + 0.68 * t + 0.10 * np.sin(np.pi * t), -0.24 + 0 * t, strict=True),
            *zip(0.73 * (1 - t) + 0.05 + 0.15 * np.sin(np.pi * t), -0.24 - 1.5 * t, strict=True),
        ]
    )
    jib = path(
        [
            (-0.05, -0.27),
            *zip(-0.05 - 0.58 * t, -0.27 + 0.03 * t, strict=True),
            *zip(-0.63 * (1 - t) - 0.05 - 0.11 * np.sin(np.pi * t), -0.24 - 1.2 * t, strict=True),
        ]
    )
    pen.fill(main, bright if light.side > 0 else dark)
    pen.fill(jib, dark if light.side > 0 else bright)
    pen.edge(main, 0.04)
    pen.edge(jib, 0.04)
    pen.stroke(path([(0, -0.1), (0, -1.74)], False), light.half((110, 76, 60), 0.5), 0.035)
    body = path([(-0.8, -0.19), (0.84, -0.19), (0.58, 0.13), (-0.54, 0.13)])
    pen.fill(body, light.half(hull, 0.6))
    pen.shape([(-0.8, -0.19), (0.84, -0.19), (0.78, -0.11), (-0.74, -0.11)], bright, 0.95)
    pen.edge(body, 0.04)


def whale(world: World, rng: np.random.Generator, size: float) -> None:
    """A whale at the surface: its back, its fluke and the spout."""
    pen, light = world.pen, world.light
    way = 1 if rng.random() < 0.5 else -1
    skin, belly = ((40, 60, 92) if light.dark else (58, 92, 138)), (206, 216, 226)
    pen.canvas.save()
    pen.canvas.scale(way, 1)
    back = skia.Path()
    back.moveTo(-1.0, 0.06)
    back.cubicTo(-1.1, -0.42, -0.62, -0.66, -0.18, -0.6)
    back.cubicTo(0.25, -0.54, 0.42, -0.2, 0.72, -0.3)
    back.cubicTo(0.74, -0.42, 0.66, -0.56, 0.52, -0.7)
    back.cubicTo(0.68, -0.72, 0.78, -0.66, 0.85, -0.54)
    back.cubicTo(0.86, -0.7, 0.96, -0.78, 1.1, -0.78)
    back.cubicTo(1.08, -0.56, 0.98, -0.42, 0.92, -0.32)
    back.cubicTo(0.9, 0.0, 0.6, 0.1, 0.3, 0.1)
    back.lineTo(-0.9, 0.1)
    back.close()
    pen.fade(back, -0.65, 0.1, mix(light.lit(skin), (150, 180, 215), 0.15), light.half(skin, 0.25), steps=2)
    with pen.inside(back):
        pen.fill(oval(-0.62, 0.18, 0.55, 0.26), light.half(belly, 0.75))
        folds = skia.Path()
        for k in range(4):
            folds.addPath(path([(-1.0 + 0.14 * k, 0.1), (-0.72 + 0.14 * k, -0.04)], False))
        pen.stroke(folds, light.half(skin, 0.4), 0.03, 0.7)
        pen.stroke(back, light.lit((190, 215, 250)), 0.11, 0.75 if light.dark else 0.4)  # the light on its wet skin
    pen.edge(back, 0.045)
    pen.fill(oval(-0.68, -0.16, 0.05, 0.05), pen.ink if pen.woodcut else (20, 24, 40))
    spray = mix(light.lit((245, 250, 255)), (255, 255, 255), 0.3)
    spout = skia.Path()
    for dx, lift, r in (
        (0, 0.12, 0.055),
        (-0.03, 0.24, 0.07),
        (0.04, 0.26, 0.06),
        (-0.13, 0.34, 0.085),
        (0.14, 0.34, 0.085),
        (-0.25, 0.27, 0.07),
        (0.25, 0.27, 0.07),
    ):
        spout.addCircle(-0.42 + dx, -0.56 - lift, r)
    pen.edge(spout, 0.07)
    pen.fill(spout, spray, 0.95)
    pen.fill(lens(-0.1, 0.1, 1.05, 0.09), spray, 0.6)
    pen.canvas.restore()
