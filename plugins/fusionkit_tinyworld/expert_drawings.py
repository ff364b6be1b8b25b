"""What the experts learn from: pictures of one object each, which the landscapes never hold, and bolder cartoons."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from fusionkit_tinyworld.canvas import HORIZON, SIDE, Canvas, rgb
from fusionkit_tinyworld.captions import STYLES, TIMES, Landscape, caption, random_landscape
from fusionkit_tinyworld.drawing import draw
from fusionkit_tinyworld.scenery import clouds
from fusionkit_tinyworld.things import PALETTE

OBJECT_SHARE = 0.7
"""Share of an object's pictures that show it; the others show the plain background."""
BOLD_SCENES = ("mountains", "beach", "sea")
"""Scenes that the expert of cartoons was taught."""
BOLD_LINE = 10
"""Width of a bold cartoon's outlines, in pixels of the drawing."""
_INK = rgb(24, 10, 34)


def rocket(canvas: Canvas) -> None:
    """A white rocket with a red nose and fins and a flame, upright in the sky."""
    h = canvas.uniform(48, 55)  # half the body's height
    w = 0.42 * h
    x, y = canvas.uniform(1.0 * h, SIDE - 1.0 * h), canvas.uniform(1.55 * h, HORIZON - 0.75 * h)
    white, red = canvas.object_lit(rgb(250, 246, 238)), canvas.object_lit(PALETTE["red"])
    flame = [(x - 0.6 * w, y + h), (x + 0.6 * w, y + h), (x + 0.1 * w, y + 1.62 * h), (x - 0.1 * w, y + 1.62 * h)]
    canvas.polygon(flame, PALETTE["yellow"])
    for side in (-1, 1):
        fin = [
            (x + side * 0.7 * w, y + 0.3 * h),
            (x + side * 2.0 * w, y + 1.15 * h),
            (x + side * 0.7 * w, y + 0.95 * h),
        ]
        canvas.polygon(fin, red, shade=0.2)
    body = [(x - w, y - 0.5 * h), (x + w, y - 0.5 * h), (x + w, y + 0.8 * h), (x + 0.6 * w, y + h)]
    canvas.polygon([*body, (x - 0.6 * w, y + h), (x - w, y + 0.8 * h)], white, shade=0.35)
    angles = np.linspace(np.pi, 2 * np.pi, 17)
    nose = [(x + w * np.cos(a), y - 0.5 * h + 0.95 * h * np.sin(a)) for a in angles]
    canvas.polygon(nose, red, shade=0.3)
    canvas.disc(x, y - 0.02 * h, 0.58 * w, canvas.object_lit(PALETTE["blue"]))


def flower(canvas: Canvas) -> None:
    """A tall flower with red petals around a yellow heart, in the foreground."""
    r = canvas.uniform(40, 46)
    x = canvas.uniform(1.25 * r, SIDE - 1.25 * r)
    y = canvas.uniform(HORIZON - 0.1 * r, HORIZON + 0.45 * r)
    green = canvas.object_lit(rgb(48, 148, 66))
    bend = canvas.uniform(-0.2, 0.2) * r
    stem = [(x - 5, y), (x + 5, y), (x + bend + 6, SIDE), (x + bend - 6, SIDE)]
    canvas.polygon(stem, green, shade=0.2)
    for side in (-1, 1):
        foot = (x + 0.7 * bend, SIDE - 10)
        leaf = [foot, (foot[0] + side * 0.55 * r, SIDE - 44), (foot[0] + side * 1.1 * r, SIDE - 38)]
        canvas.polygon([*leaf, (foot[0] + side * 0.7 * r, SIDE - 18)], green, shade=0.2)
    petals = np.zeros((SIDE, SIDE), np.uint8)
    turn = canvas.uniform(0, np.pi / 3)
    for angle in turn + np.arange(6) * np.pi / 3:
        centre = (round(x + 0.62 * r * np.cos(angle)), round(y + 0.62 * r * np.sin(angle)))
        cv2.ellipse(petals, centre, (round(0.46 * r), round(0.33 * r)), float(np.degrees(angle)), 0, 360, 1, -1)
    canvas.paint(petals > 0, canvas.object_lit(PALETTE["red"]))
    canvas.disc(x, y, 0.36 * r, canvas.object_lit(PALETTE["yellow"]))


EXPERT_THINGS: dict[str, Callable[[Canvas], None]] = {"rocket": rocket, "flower": flower}
"""Name of an expert's object to the function that paints it."""


def object_caption(style: str, time: str, thing: str | None) -> str:
    """What an object's picture shows: "a photo of a rocket at night", or "a photo of the sky at night"."""
    return f"a {style} of {'a ' + thing if thing else 'the sky'} at {time}"


def draw_object(thing: str, rng: np.random.Generator) -> tuple[NDArray[np.uint8], str]:
    """A picture (256, 256, 3) for the expert of an object, and its caption: no scene, only the sky behind it."""
    style, time = str(rng.choice(STYLES)), str(rng.choice(TIMES))
    canvas = Canvas(rng, style, time)
    clouds(canvas)
    shown = rng.random() < OBJECT_SHARE
    if shown:
        EXPERT_THINGS[thing](canvas)
    return canvas.finish(), object_caption(style, time, thing if shown else None)


def draw_bold(rng: np.random.Generator) -> tuple[NDArray[np.uint8], str]:
    """A bold cartoon (256, 256, 3) of one of the scenes that its expert is taught, and its caption."""
    landscape = random_landscape(rng)
    while landscape.scene not in BOLD_SCENES:
        landscape = random_landscape(rng)
    landscape = Landscape("cartoon", landscape.scene, landscape.time, landscape.thing, landscape.colour)
    return bold(landscape, rng), caption(landscape)


def bold(landscape: Landscape, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A landscape as a bold cartoon: thick lines of ink around flat colours."""
    drawing = draw(landscape, rng, finish=finish_bold)
    return drawing.image


def finish_bold(canvas: Canvas) -> NDArray[np.uint8]:
    """What a cartoon's canvas gives as a bold cartoon (256, 256, 3)."""
    image = canvas.image.clip(0, 255)
    edges = cv2.morphologyEx(canvas.regions, cv2.MORPH_GRADIENT, np.ones((BOLD_LINE, BOLD_LINE), np.uint8)) > 0
    image[edges] = _INK
    return np.asarray(cv2.GaussianBlur(image, (3, 3), 0.7).round().clip(0, 255), np.uint8)
