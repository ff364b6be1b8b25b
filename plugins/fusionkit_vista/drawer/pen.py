"""The pen: shapes, fades and glows on a canvas, soft as on a poster, or flat and outlined as a woodcut prints them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import skia

from fusionkit_vista.drawer.light import INK, WARM, Colour, Light, mix, printed

Points = Iterable[tuple[float, float]]


def path(points: Points, closed: bool = True) -> skia.Path:
    """A path through points."""
    result = skia.Path()
    result.addPoly([skia.Point(float(x), float(y)) for x, y in points], closed)
    return result


def box(left: float, top: float, right: float, bottom: float) -> skia.Path:
    """A path around a rectangle."""
    result = skia.Path()
    result.addRect(skia.Rect.MakeLTRB(left, top, right, bottom))
    return result


def oval(x: float, y: float, across: float, up: float) -> skia.Path:
    """A path around an ellipse with the given half axes."""
    result = skia.Path()
    result.addOval(skia.Rect.MakeLTRB(x - across, y - up, x + across, y + up))
    return result


def lens(x: float, y: float, half: float, thick: float) -> skia.Path:
    """A lying stroke that tapers to both ends, as a gouge cuts it."""
    result = skia.Path()
    result.moveTo(x - half, y)
    result.quadTo(x, y - thick, x + half, y)
    result.quadTo(x, y + thick, x - half, y)
    return result


class Pen:
    """Draws on `canvas` in the light `light`; colours are those of the light, measures heights of the picture.

    As a woodcut nothing is soft: fades become a few flat tones, glows become rings, blurs are left out, and `edge`
    draws an outline, which a poster does not.
    """

    def __init__(self, canvas: Any, light: Light, woodcut: bool):
        self.canvas, self.light, self.woodcut = canvas, light, woodcut
        self.ink = mix(INK, light.sky[0], 0.25)

    def colour(self, c: Colour, alpha: float = 1.0) -> int:
        """A colour as the canvas takes it."""
        if self.woodcut:
            c = printed(c)
        r, g, b = (int(min(255.0, max(0.0, v)) + 0.5) for v in c)
        return int(skia.Color(r, g, b, int(255 * min(1.0, max(0.0, alpha)) + 0.5)))

    def _paint(self, soft: float = 0.0) -> Any:
        paint = skia.Paint(AntiAlias=True, Dither=not self.woodcut)
        if soft and not self.woodcut:
            paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, soft))
        return paint

    def fill(self, shape: skia.Path, c: Colour, alpha: float = 1.0, soft: float = 0.0) -> None:
        """Fill a shape with one colour."""
        paint = self._paint(soft)
        paint.setColor(self.colour(c, alpha))
        self.canvas.drawPath(shape, paint)

    def shape(self, points: Points, c: Colour, alpha: float = 1.0, soft: float = 0.0) -> None:
        """Fill the polygon through points."""
        self.fill(path(points), c, alpha, soft)

    def fade(
        self,
        shape: skia.Path,
        y0: float,
        y1: float,
        top: Colour,
        bottom: Colour,
        alphas: tuple[float, float] = (1.0, 1.0),
        soft: float = 0.0,
        across: bool = False,
        steps: int = 4,
    ) -> None:
        """Fill a shape from one colour at the height `y0` to another at `y1` (from x to x, if `across`)."""
        ends = [skia.Point(y0, 0), skia.Point(y1, 0)] if across else [skia.Point(0, y0), skia.Point(0, y1)]
        if self.woodcut:
            tones = [k / (steps - 1) for k in range(steps)]
            colours, places = [], []
            for k, t in enumerate(tones):
                alpha = alphas[0] + (alphas[1] - alphas[0]) * t
                colours += [self.colour(mix(top, bottom, t), 0.0 if alpha < 0.12 else alpha)] * 2
                places += [k / steps, (k + 1) / steps]
        else:
            colours, places = [self.colour(top, alphas[0]), self.colour(bottom, alphas[1])], [0.0, 1.0]
        paint = self._paint(soft)
        paint.setShader(skia.GradientShader.MakeLinear(ends, colours, places))
        self.canvas.drawPath(shape, paint)

    def band(self, y: float, half: float, c: Colour, alpha: float, left: float, right: float) -> None:
        """A soft horizontal band of mist."""
        ends = [skia.Point(0, y - half), skia.Point(0, y + half)]
        colours = [self.colour(c, 0), self.colour(c, alpha), self.colour(c, 0)]
        paint = self._paint()
        paint.setShader(skia.GradientShader.MakeLinear(ends, colours, [0.0, 0.5, 1.0]))
        self.canvas.drawRect(skia.Rect.MakeLTRB(left, y - half, right, y + half), paint)

    def glow(self, x: float, y: float, radius: float, c: Colour, alpha: float) -> None:
        """Light around a place, which brightens what is there."""
        paint = self._paint()
        at = skia.Point(x, y)
        if self.woodcut:
            rings = [self.colour(c, alpha * k) for k in (0.5, 0.5, 0.26, 0.26, 0.1, 0.1, 0, 0)]
            places = [0.0, 0.22, 0.22, 0.42, 0.42, 0.62, 0.62, 1.0]
            paint.setShader(skia.GradientShader.MakeRadial(at, radius, rings, places))
        else:
            stops = [self.colour(c, alpha * k) for k in (1, 0.42, 0.12, 0)]
            paint.setShader(skia.GradientShader.MakeRadial(at, radius, stops, [0, 0.25, 0.55, 1]))
        paint.setBlendMode(skia.BlendMode.kScreen)
        self.canvas.drawCircle(x, y, radius, paint)

    def stroke(self, shape: skia.Path, c: Colour, width: float, alpha: float = 1.0) -> None:
        """Draw along a path."""
        paint = self._paint()
        paint.setColor(self.colour(c, alpha))
        paint.setStyle(skia.Paint.kStroke_Style)
        paint.setStrokeWidth(width)
        paint.setStrokeJoin(skia.Paint.kRound_Join)
        paint.setStrokeCap(skia.Paint.kRound_Cap)
        self.canvas.drawPath(shape, paint)

    def edge(self, shape: skia.Path, width: float = 0.009, alpha: float = 0.9) -> None:
        """The outline of a woodcut's key block; a poster has none."""
        if self.woodcut:
            self.stroke(shape, self.ink, width, alpha)

    @contextmanager
    def inside(self, shape: skia.Path) -> Iterator[None]:
        """Whatever is drawn within is cut off at the shape's border."""
        self.canvas.save()
        self.canvas.clipPath(shape, True)
        yield
        self.canvas.restore()

    @contextmanager
    def at(self, x: float, y: float, size: float, up: float = 1.0, alpha: float = 1.0) -> Iterator[None]:
        """Whatever is drawn within is measured in `size` from the place x, y; `up` = -1 turns it upside down."""
        if alpha < 1:
            self.canvas.saveLayerAlpha(None, int(255 * alpha))
        else:
            self.canvas.save()
        self.canvas.translate(x, y)
        self.canvas.scale(size, size * up)
        yield
        self.canvas.restore()

    def lamp(self, x: float, y: float, width: float, height: float) -> None:
        """A window: lit but at noon."""
        noon = self.light.time == "at noon"
        pane = box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        self.fill(pane, mix(WARM, (90, 120, 150), 0.7) if noon else WARM)
        if not noon:
            self.glow(x, y, width * 4, WARM, 0.5)
