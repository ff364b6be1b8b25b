"""Drawings in which everything meets: scenes in three styles, and the experts' objects in front, whole or in part."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fusionkit_tinyworld.canvas import HORIZON, SIDE, Canvas, rgb
from fusionkit_tinyworld.captions import STYLES, Landscape, random_landscape
from fusionkit_tinyworld.drawing import draw
from fusionkit_tinyworld.expert_drawings import EXPERT_THINGS, finish_bold
from fusionkit_tinyworld.scenery import clouds
from fusionkit_tinyworld.things import PALETTE

BOLD = "bold cartoon"
"""The third style, after those of the landscapes."""
PRESENT_FROM = 0.55
"""An object or a scene is there from this share of it on: opacity times the share of its area that is not cut away."""
UNCLEAR = (0.4, 0.7)
"""Shares that no drawing has, because nobody could say whether the object, or the scene, is there."""
_PLAIN_SHARE = 0.2
_OBJECT_SHARE = 0.45
_BLOB_SHARE = 0.3
_FADED_SHARE = 0.4
_SEEN = 12
"""Difference of a channel, of 255, from which a pixel belongs to what was painted."""

Picture = NDArray[np.uint8]
Finish = Callable[[Canvas], Picture]


@dataclass(frozen=True)
class Shown:
    """What a picture shows.

    `style` is "photo", "cartoon" or "bold cartoon"; `scene` is None for a plain sky.
    """

    style: str
    scene: str | None
    time: str
    rocket: bool = False
    flower: bool = False


def random_mixture(rng: np.random.Generator) -> tuple[Picture, Shown]:
    """A picture (256, 256, 3) and what it shows: a scene or a plain sky, and none, one or both of the objects.

    Two fifths of the scenes and of the objects are half-transparent ghosts, as they come from averaging two models, or
    are cut off along a line, or both. Some pictures have blobs of the objects' colours, which are no object.
    """
    landscape = random_landscape(rng)
    if rng.random() < _PLAIN_SHARE:  # never bold: without a horizon there is nothing to draw lines around
        canvas = Canvas(rng, landscape.style, landscape.time)
        clouds(canvas)
        picture, things = _with_things(canvas, _finished(canvas, Canvas.finish), Canvas.finish)
        return picture, Shown(landscape.style, None, landscape.time, **things)
    return _scene_mixture(landscape, str(rng.choice((*STYLES, BOLD))), rng)


def _scene_mixture(landscape: Landscape, style: str, rng: np.random.Generator) -> tuple[Picture, Shown]:
    finish = finish_bold if style == BOLD else Canvas.finish
    kind = "cartoon" if style == BOLD else style
    content = Landscape(kind, landscape.scene, landscape.time, landscape.thing, landscape.colour)
    sky = Canvas(copy.deepcopy(rng), kind, landscape.time)
    clouds(sky)
    scene: str | None = landscape.scene
    things: dict[str, bool] = {}

    def finish_with_things(canvas: Canvas) -> Picture:
        nonlocal scene
        whole = _finished(canvas, finish)
        if rng.random() < _FADED_SHARE:
            behind = _finished(sky, finish)
            area = np.abs(whole - behind).max(2) > _SEEN
            weight, share = _visibility(area, rng)
            if style == BOLD and share < PRESENT_FROM:  # nothing bold would be left
                weight, share = np.ones_like(weight), 1.0
            whole = behind + weight[..., None] * (whole - behind)
            scene = landscape.scene if share >= PRESENT_FROM else None
        picture, present = _with_things(canvas, whole, finish)
        things.update(present)
        return picture

    picture = draw(content, rng, finish=finish_with_things).image
    return picture, Shown(style, scene, landscape.time, **things)


def _with_things(canvas: Canvas, picture: NDArray[np.float32], finish: Finish) -> tuple[Picture, dict[str, bool]]:
    """The finished picture of a canvas with some of the objects laid over it, and which of them are there."""
    if canvas.rng.random() < _BLOB_SHARE:
        before = _finished(canvas, finish)
        _blobs(canvas)
        after = _finished(canvas, finish)
        picture = np.where(np.abs(after - before).max(2, keepdims=True) > _SEEN, after, picture)
    present = {}
    for thing, paint in EXPERT_THINGS.items():
        if canvas.rng.random() >= _OBJECT_SHARE:
            continue
        before = _finished(canvas, finish)
        paint(canvas)
        after = _finished(canvas, finish)
        area = np.abs(after - before).max(2) > _SEEN
        weight, share = _visibility(area, canvas.rng)
        picture = picture + (area * weight)[..., None] * (after - picture)
        present[thing] = share >= PRESENT_FROM
    return picture.round().clip(0, 255).astype(np.uint8), present


def _finished(canvas: Canvas, finish: Finish) -> NDArray[np.float32]:
    return finish(copy.deepcopy(canvas)).astype(np.float32)


def _visibility(area: NDArray[np.bool_], rng: np.random.Generator) -> tuple[NDArray[np.float32], float]:
    """How much of each pixel (SIDE, SIDE) of an area shows, and the mean over the area."""
    while True:
        opacity = 1.0 if rng.random() < 0.6 else float(rng.uniform(0.1, 1))
        weight = np.full((SIDE, SIDE), opacity, np.float32)
        if rng.random() < 0.25:
            weight *= _half_plane(area, rng)
        share = float(weight[area].mean()) if area.any() else 0.0
        if not UNCLEAR[0] < share < UNCLEAR[1]:
            return weight, share


def _half_plane(area: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """Ones (SIDE, SIDE) on one side of a random line through an area, fading to zeros over some pixels."""
    places = np.argwhere(area) if area.any() else np.full((1, 2), SIDE // 2)
    row, column = places[rng.integers(len(places))]
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    distance = (rows - row) * np.sin(angle) + (columns - column) * np.cos(angle)
    return np.asarray(np.clip(0.5 + distance / rng.uniform(2, 16), 0, 1), np.float32)


def _blobs(canvas: Canvas) -> None:
    """One or two ellipses in the colours of the objects."""
    colours = (*PALETTE.values(), rgb(250, 246, 238), rgb(48, 148, 66))
    for _ in range(canvas.rng.integers(1, 3)):
        blob = np.zeros((SIDE, SIDE), np.uint8)
        centre = (round(canvas.uniform(20, SIDE - 20)), round(canvas.uniform(20, HORIZON + 60)))
        axes = (round(canvas.uniform(8, 34)), round(canvas.uniform(8, 34)))
        cv2.ellipse(blob, centre, axes, canvas.uniform(0, 180), 0, 360, 1, -1)
        canvas.paint(blob > 0, canvas.object_lit(colours[canvas.rng.integers(len(colours))]))
