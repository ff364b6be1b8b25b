"""One drawing from the sky to the weather before it; the only room that all others meet in."""

from __future__ import annotations

import cv2
import numpy as np
import skia

from fusionkit_vista.drawer.coast import rock
from fusionkit_vista.drawer.pen import Pen
from fusionkit_vista.drawer.scenes import CALM, FAR, GLITTER, NEAR, TINT
from fusionkit_vista.drawer.sky import sky
from fusionkit_vista.drawer.spec import Spec
from fusionkit_vista.drawer.things import draw_thing
from fusionkit_vista.drawer.view import View
from fusionkit_vista.drawer.water import glitter, water
from fusionkit_vista.drawer.watercolour import painted
from fusionkit_vista.drawer.weather import before_all, before_things
from fusionkit_vista.drawer.words import THINGS, WET
from fusionkit_vista.drawer.world import World

cv2.setNumThreads(1)


def compose(spec: Spec, view: View) -> np.ndarray:
    """The pixels (height, width, 3) of a view of a drawing."""
    world = World(spec)
    pixels, canvas = view.blank()
    woodcut = spec.style == "woodcut"
    if spec.scene in WET:
        recorder = skia.PictureRecorder()
        bounds = skia.Rect.MakeLTRB(world.left - 2, -2, world.right + 2, 3)
        world.pen = Pen(recorder.beginRecording(bounds), world.light, woodcut)
        _far(world)
        above = recorder.finishRecordingAsPicture()
        world.pen = Pen(canvas, world.light, woodcut)
        canvas.drawPicture(above)
        calm = world.rng("calm").uniform(*CALM[spec.scene])
        water(world, view, above, float(calm), TINT[spec.scene])
        if spec.scene in GLITTER and spec.time != "under northern lights":
            glitter(world, GLITTER[spec.scene] * (1.0 if spec.weather in ("in clear weather", "under clouds") else 0.4))
    else:
        world.pen = Pen(canvas, world.light, woodcut)
        _far(world)
    _near(world)
    picture = np.ascontiguousarray(pixels[..., :3])
    return painted(spec, view, picture) if spec.style == "watercolour" else picture


def _far(world: World) -> None:
    """The sky, what flies in it, and the land as far as water mirrors it."""
    sky(world)
    for number, thing in enumerate(world.spec.things):
        if thing.name in ("sun", "moon"):
            draw_thing(world, thing, number)
    FAR[world.spec.scene](world)
    for number, thing in enumerate(world.spec.things):
        if thing.name in ("balloon", "rocket", "dragon"):
            draw_thing(world, thing, number)


def _near(world: World) -> None:
    """The near land, the things on it and the weather."""
    before_things(world)
    if world.spec.scene in NEAR:
        NEAR[world.spec.scene](world)
    for number, thing in enumerate(world.spec.things):
        if THINGS[thing.name].stands == "sky":
            continue
        if THINGS[thing.name].stands == "cliff" and world.spec.scene in ("the sea", "a mountain lake"):
            rock(world, thing.x, thing.y, thing.size)
        draw_thing(world, thing, number)
    before_all(world)
