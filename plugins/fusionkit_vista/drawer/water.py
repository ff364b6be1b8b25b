"""Water: it mirrors what is drawn above it, the more broken the less calm it is; its waves and its glitter."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import skia

from fusionkit_vista.drawer.geography import HORIZON
from fusionkit_vista.drawer.light import Colour, mix
from fusionkit_vista.drawer.pen import box, lens
from fusionkit_vista.drawer.view import View
from fusionkit_vista.drawer.world import World

STEEP = 1.25
"""How much of the land above one height of water mirrors."""


def water(world: World, view: View, above: Any, calm: float, tint: Colour) -> None:
    """Water that mirrors the recorded picture `above`; `calm` is 1 for a mirror, 0 for a rough sea."""
    light, pen, rng = world.light, world.pen, world.rng("water")
    first = max(0, int(np.floor(view.row(HORIZON))))
    deep = mix(light.dim(tint), light.lit(tint), 0.5)
    if first < view.height:
        mirrored = _mirror(world, view, above, calm, rng, first)
        y = view.ys()[first:]
        t = np.clip((y - HORIZON) / (1 - HORIZON), 0, 1.5)
        amount = ((0.16 + 0.45 * t**0.8) * (1 - 0.5 * light.veil))[:, None, None]
        if pen.woodcut:
            amount = np.where(t[:, None, None] < 0.25, 0.42, 0.6)
        colour = np.array(_rgb(pen.colour(deep)))
        result = (mirrored * (1 - amount) + colour * amount) * (1 - 0.1 * np.minimum(t, 1)[:, None, None])
        view.put(pen.canvas, np.clip(result, 0, 255).astype(np.uint8), first)
    _waves(world, calm)


def _rgb(c: int) -> tuple[int, int, int]:
    return (skia.ColorGetR(c), skia.ColorGetG(c), skia.ColorGetB(c))


def _mirror(world: World, view: View, above: Any, calm: float, rng: np.random.Generator, first: int) -> np.ndarray:
    """What is above, upside down, shifted by ripples and blurred: the rows of the view from `first` on."""
    pad = int(np.ceil(0.06 * view.scale)) + 2
    pixels, canvas = view.blank(pad)
    canvas.translate(0, HORIZON)
    canvas.scale(1, -1 / STEEP)
    canvas.translate(0, -HORIZON)
    canvas.drawPicture(above)
    del canvas
    picture = pixels[:, :, :3]
    rough = 1 - calm
    if not world.pen.woodcut:
        sigma = view.scale * np.array([0.018 * rough + 0.002, 0.022 * rough + 0.003])
        picture = cv2.GaussianBlur(picture, (0, 0), sigmaX=float(sigma[0]), sigmaY=float(sigma[1]))
    y, x = view.ys()[first:, None], view.xs()[None]
    t = np.clip((y - HORIZON) / (1 - HORIZON), 0.0, 1.4)
    wobble = np.zeros((len(y), len(x[0])))
    often = 0.5 if world.pen.woodcut else 1.0
    for _ in range(3):
        wobble += np.sin(often * rng.uniform(22, 48) * t**0.6 + rng.uniform(2, 6) * x + rng.uniform(0, 6.3))
    wobble *= (0.25 + t) * (0.0016 + 0.010 * rough) * view.scale
    columns = (np.arange(view.width)[None] + pad + wobble).astype(np.float32)
    rows = np.repeat(np.arange(first, view.height, dtype=np.float32)[:, None], view.width, 1)
    mode = cv2.INTER_LINEAR
    return np.asarray(cv2.remap(picture, columns, rows, mode, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _waves(world: World, calm: float) -> None:
    """Light strokes that lie on the water, and a pale line at the horizon."""
    rng, pen, light = world.rng("waves"), world.pen, world.light
    shine = mix(light.haze, (255, 255, 255), 0.25)
    many = 16 if pen.woodcut else 9
    bright, dark = skia.Path(), skia.Path()
    for k in range(world.count(rng, many, many + 8 * (1 - calm))):
        t = rng.random() ** 1.2 * 1.2
        y = HORIZON + 0.008 + (1 - HORIZON) * t
        stroke = lens(rng.uniform(world.left, world.right), y, rng.uniform(0.04, 0.13) * (0.4 + t), 0.002 + 0.007 * t)
        (dark if k % 3 == 0 else bright).addPath(stroke)
    pen.fill(bright, shine, 0.5 if pen.woodcut else 0.22)
    pen.fill(dark, pen.ink if pen.woodcut else light.dim((60, 90, 130)), 0.55 if pen.woodcut else 0.16)
    if not pen.woodcut and calm < 0.6:
        swells = skia.Path()
        for t in (np.arange(5) + 0.6) / 5:
            for x in rng.uniform(world.left, world.right, world.count(rng, 1.2, 2.2)):
                swells.addPath(lens(x, HORIZON + 0.42 * t**1.3, rng.uniform(0.14, 0.34), 0.004 + 0.016 * t))
        pen.fill(swells, light.dim((40, 90, 130)), 0.2, soft=0.004)
    pen.fill(box(world.left, HORIZON - 0.0025, world.right, HORIZON + 0.003), light.haze, 0.5)


def glitter(world: World, strength: float) -> None:
    """The light's path on the water."""
    rng, pen, light = world.rng("glitter"), world.pen, world.light
    c = mix(light.sun, (255, 255, 255), 0.2)
    for near in (False, True):
        sparks = skia.Path()
        for _ in range(36):
            t = rng.random() * 0.5 + (0.5 if near else 0.0)
            x = light.x + rng.normal() * (0.02 + 0.07 * t)
            sparks.addPath(
                lens(
                    x,
                    HORIZON + 0.006 + (1 - HORIZON) * t,
                    rng.uniform(0.012, 0.042) * (0.5 + 1.2 * t),
                    0.0026 + 0.008 * t,
                )
            )
        pen.fill(sparks, c, (0.45 if near else 0.75) * strength)
