"""The six scenes: what lies under the sky, alike from left to right so that windows of a long picture blend."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from fusionkit_tinyworld.canvas import HORIZON, SIDE, Canvas, Colour, rgb


def clouds(canvas: Canvas) -> None:
    """Up to two clouds by day; stars at night."""
    if canvas.time == "night":
        for _ in range(14):
            x, y = canvas.uniform(0, SIDE), canvas.uniform(0, HORIZON - 50)
            cv2.circle(canvas.image, (int(x), int(y)), 2, (214.0, 218.0, 238.0), -1, cv2.LINE_AA)
        return
    colour = rgb(255, 255, 255) if canvas.time == "noon" else rgb(255, 206, 190)
    for _ in range(canvas.rng.integers(0, 3)):
        x, y, width = canvas.uniform(0, SIDE), canvas.uniform(20, 90), canvas.uniform(34, 50)
        puff = np.zeros((SIDE, SIDE), np.uint8)
        for step, height in ((-0.6, 0.20), (-0.1, 0.34), (0.4, 0.26), (0.75, 0.16)):
            axes = (int(width * 0.42), int(width * height))
            cv2.ellipse(puff, (int(x + step * width), int(y)), axes, 0, 180, 360, 1, -1)
        if canvas.is_photo:
            alpha = cv2.GaussianBlur(puff.astype(np.float32), (0, 0), 4)[..., None] * 0.85
            canvas.image = canvas.image * (1 - alpha) + colour * alpha
        else:
            canvas.paint(puff > 0, colour * 0.98)


def mountains(canvas: Canvas) -> None:
    """Two ranges of snowy peaks over a meadow."""
    _range(canvas, spacing=62, height=(58, 78), haze=0.42)
    _range(canvas, spacing=84, height=(44, 66), haze=0.08)
    top, bottom = canvas.lit(rgb(112, 178, 74)), canvas.lit(rgb(58, 124, 56))
    canvas.land(canvas.smooth_line(HORIZON + 10, 5, 3), top, bottom, texture=0.05)


def _range(canvas: Canvas, spacing: float, height: tuple[float, float], haze: float) -> None:
    rock, shadow = canvas.lit(rgb(122, 130, 160), haze), canvas.lit(rgb(78, 86, 118), haze)
    # Snow is brighter than the light on the ground, so that the caps stand out at dusk and at night.
    snow, snow_shadow = (
        0.7 * canvas.lit(white, haze * 0.6) + 0.3 * white for white in (rgb(250, 252, 255), rgb(196, 208, 232))
    )
    foot = HORIZON + 24
    for centre in np.arange(-spacing, SIDE + spacing, spacing) + canvas.uniform(0, spacing):
        x, h = centre + canvas.uniform(-0.16, 0.16) * spacing, canvas.uniform(*height)
        y, slope = HORIZON - h, canvas.uniform(0.80, 0.96)
        left, right = x - slope * (foot - y), x + slope * (foot - y)
        canvas.polygon([(x, y), (right, foot), (left, foot)], rock)
        bend = x + 0.12 * (foot - y)
        canvas.polygon([(x, y), (right, foot), (bend, foot)], shadow, outlined=False)
        depth = 0.42 * h

        def at(side: float, share: float, x: float = x, y: float = y, s: float = slope) -> tuple[float, float]:
            return x + side * s * share, y + share

        cap = [
            (x, y),
            at(1, depth),
            at(0.55, depth * 0.72),
            at(0.1, depth * 1.05),
            at(-0.45, depth * 0.7),
            at(-1, depth),
        ]
        canvas.polygon(cap, snow, outlined=False)
        canvas.polygon(
            [(x, y), at(1, depth), at(0.55, depth * 0.72), at(0.1, depth * 1.05)], snow_shadow, outlined=False
        )


def city(canvas: Canvas) -> None:
    """A far and a near row of houses, lit at dusk and at night, behind water."""
    quay = HORIZON + 12
    x = -canvas.uniform(0, 30)
    while x < SIDE:
        width, height = canvas.uniform(30, 46), canvas.uniform(44, 74)
        _block(canvas, x, quay, width, height, canvas.lit(rgb(140, 150, 178), 0.45))
        x += width
    walls = (rgb(186, 118, 96), rgb(120, 134, 166), rgb(206, 176, 138))
    x = -canvas.uniform(0, 54)
    while x < SIDE:
        columns, rows = int(canvas.rng.integers(2, 4)), int(canvas.rng.integers(1, 4))
        width, height = 22 * columns + 8, 22 * rows + 14
        _block(canvas, x, quay, width, height, canvas.lit(walls[canvas.rng.integers(3)]))
        _windows(canvas, x + 9, quay - height + 8, columns, rows)
        x += width + float(canvas.rng.choice([0, 6]))
    canvas.polygon(
        [(-4, quay - 5), (SIDE + 4, quay - 5), (SIDE + 4, quay + 3), (-4, quay + 3)], canvas.lit(rgb(150, 150, 158))
    )
    canvas.water(quay + 2)


def _block(canvas: Canvas, x: float, foot: float, width: float, height: float, colour: Colour) -> None:
    corners = [(x, foot), (x, foot - height), (x + width, foot - height), (x + width, foot)]
    canvas.polygon(corners, colour, shade=0.25)


def _windows(canvas: Canvas, left: float, top: float, columns: int, rows: int) -> None:
    bright, dark = rgb(255, 222, 120), canvas.lit(rgb(70, 96, 140))
    if canvas.time == "noon":
        bright = rgb(206, 232, 246)
    for row in range(rows):
        for column in range(columns):
            x, y = left + 22 * column, top + 22 * row
            colour = bright if canvas.rng.random() < 0.8 else dark
            canvas.polygon([(x, y), (x + 11, y), (x + 11, y + 12), (x, y + 12)], colour, outlined=False)


def beach(canvas: Canvas) -> None:
    """The sea, sand and one or two palms."""
    canvas.water(HORIZON)
    shore = canvas.smooth_line(HORIZON + 44, 5, 3)
    if canvas.is_photo:
        foam = canvas.lit(rgb(246, 250, 252), 0.1)
        canvas.land(shore - 5, foam, foam)
    canvas.land(shore, canvas.lit(rgb(248, 226, 166)), canvas.lit(rgb(222, 184, 118)), texture=0.03)
    for _ in range(canvas.rng.integers(1, 3)):
        _palm(canvas, canvas.uniform(0, SIDE), HORIZON + canvas.uniform(56, 72), canvas.uniform(88, 112))


def _palm(canvas: Canvas, x: float, y: float, height: float) -> None:
    trunk, leaf = canvas.lit(rgb(142, 98, 58)), canvas.lit(rgb(48, 148, 66))
    lean = canvas.uniform(-0.22, 0.22) * height
    steps = np.linspace(0, 1, 6)
    xs, ys = x + lean * steps**2, y - height * steps
    half = 6 - 2.5 * steps
    canvas.polygon([*zip(xs - half, ys, strict=True), *zip((xs + half)[::-1], ys[::-1], strict=True)], trunk, shade=0.5)
    crown = np.zeros((SIDE, SIDE), np.uint8)
    along = np.linspace(0, 1, 7)
    for angle in np.linspace(0, np.pi, 5):
        length = height * 0.44
        px = xs[-1] + np.cos(angle) * length * along
        py = ys[-1] - np.sin(angle) * 0.55 * length * along + along**2 * length * 0.5
        width = 8 * np.sin(np.pi * np.clip(along * 0.85 + 0.12, 0, 1))
        frond = np.concatenate([np.stack([px, py - width], 1), np.stack([px, py + width], 1)[::-1]])
        cv2.fillPoly(crown, [np.round(frond).astype(np.int32)], 1)
    canvas.paint(crown > 0, leaf)


def forest(canvas: Canvas) -> None:
    """Two rows of conifers and a clearing."""
    thicket = canvas.lit(rgb(40, 96, 66), 0.1)
    canvas.land(np.full(SIDE, HORIZON + 2, np.float32), thicket, thicket)
    _conifers(canvas, foot=HORIZON + 8, spacing=34, height=(66, 84), colour=canvas.lit(rgb(74, 146, 104), 0.30))
    _conifers(canvas, foot=HORIZON + 26, spacing=46, height=(76, 98), colour=canvas.lit(rgb(40, 118, 66)))
    top, bottom = canvas.lit(rgb(122, 180, 76)), canvas.lit(rgb(66, 126, 54))
    canvas.land(canvas.smooth_line(HORIZON + 26, 4, 3), top, bottom, texture=0.05)


def _conifers(canvas: Canvas, foot: float, spacing: float, height: tuple[float, float], colour: Colour) -> None:
    for centre in np.arange(-spacing, SIDE + spacing, spacing) + canvas.uniform(0, spacing):
        x, h = centre + canvas.uniform(-0.15, 0.15) * spacing, canvas.uniform(*height)
        right = [
            (0.0, 1.0),
            (0.17, 0.70),
            (0.10, 0.70),
            (0.25, 0.40),
            (0.15, 0.40),
            (0.32, 0.08),
            (0.06, 0.08),
            (0.06, -0.1),
        ]
        sides = [(x + w * h, foot - r * h) for w, r in right] + [(x - w * h, foot - r * h) for w, r in right[::-1]]
        canvas.polygon(sides, colour * canvas.uniform(0.92, 1.1), shade=0.7)


def desert(canvas: Canvas) -> None:
    """Three rows of dunes and one or two cacti."""
    for row, amplitude, haze, colour in (
        (HORIZON - 10, 13, 0.35, rgb(236, 178, 118)),
        (HORIZON + 14, 11, 0.10, rgb(240, 182, 108)),
        (HORIZON + 50, 8, 0.0, rgb(248, 196, 120)),
    ):
        dark = colour * rgb(0.82, 0.72, 0.62)
        line = canvas.smooth_line(row, amplitude, 2)
        canvas.land(line, canvas.lit(colour, haze), canvas.lit(dark, haze), depth=56, texture=0.02)
    for _ in range(canvas.rng.integers(1, 3)):
        _cactus(canvas, canvas.uniform(10, SIDE - 10), HORIZON + canvas.uniform(40, 72), canvas.uniform(48, 62))


def _cactus(canvas: Canvas, x: float, y: float, height: float) -> None:
    shape = np.zeros((SIDE, SIDE), np.uint8)

    def stroke(x0: float, y0: float, x1: float, y1: float, width: int) -> None:
        cv2.line(shape, (round(x0), round(y0)), (round(x1), round(y1)), 1, width)

    stroke(x, y, x, y - height, 13)
    for side, share in ((-1, 0.38), (1, 0.55)):
        elbow = x + side * 17
        stroke(x, y - height * share, elbow, y - height * share, 9)
        stroke(elbow, y - height * share, elbow, y - height * share - 15, 9)
    canvas.paint(shape > 0, canvas.lit(rgb(52, 138, 76)))


def sea(canvas: Canvas) -> None:
    """Open water up to the horizon."""
    canvas.water(HORIZON)


SCENERY: dict[str, Callable[[Canvas], None]] = {
    "mountains": mountains,
    "city": city,
    "beach": beach,
    "forest": forest,
    "desert": desert,
    "sea": sea,
}
"""Scene name to the function that paints it."""
