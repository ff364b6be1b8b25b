"""The sky: its colours, stars, northern lights, clouds and the rainbow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import skia

from fusionkit_vista.drawer.geography import HORIZON
from fusionkit_vista.drawer.light import Colour, mix
from fusionkit_vista.drawer.pen import box, lens, oval, path
from fusionkit_vista.drawer.words import CLEAR, CLOUDS, DARK, LOW_SUN, MIST, RAIN, SNOWFALL
from fusionkit_vista.drawer.world import World

TOP = -0.5
"""How high a drawing goes above the picture."""
_RISE = -TOP


def sky(world: World) -> None:
    """All of the sky but its things."""
    (_bands if world.pen.woodcut else _gradient)(world)
    time, weather = world.spec.time, world.spec.weather
    if time in DARK and weather not in (RAIN, SNOWFALL):
        _stars(world, 0.45 if weather != CLEAR or time == "at dusk" else 1.0)
    if time == "under northern lights":
        (_strips if world.pen.woodcut else _curtains)(world)
    if weather == RAIN:
        _rainbow(world)
    if weather in (CLOUDS, RAIN, SNOWFALL):
        _clouds(world)


def _above(sky: Sequence[Colour]) -> Colour:
    """The colour above the picture, which goes on as the sky does from its second tone to its first."""
    return tuple(
        min(255.0, max(0.0, a + (a - b) * _RISE / (0.38 * HORIZON) * 0.6)) for a, b in zip(sky[0], sky[1], strict=True)
    )


def _gradient(world: World) -> None:
    pen, light = world.pen, world.light
    ends = [skia.Point(0, TOP), skia.Point(0, HORIZON)]
    paint = skia.Paint(Dither=True)
    colours = [pen.colour(c) for c in (_above(light.sky), *light.sky)]
    places = [(_RISE + t * HORIZON) / (_RISE + HORIZON) for t in (0, 0.38, 0.74, 1)]
    paint.setShader(skia.GradientShader.MakeLinear(ends, colours, [0.0, *places[:3], 1.0]))
    pen.canvas.drawRect(skia.Rect.MakeLTRB(world.left, TOP, world.right, 1.6), paint)
    hidden = 0.45 if world.spec.weather in (RAIN, SNOWFALL, MIST) else 1.0
    if world.spec.time in LOW_SUN:
        pen.glow(light.x, HORIZON - 0.04, 0.66, light.sun, 0.42 * hidden)
    elif world.spec.time == "at noon":
        pen.glow(light.x, 0.0, 0.9, light.sun, 0.14 * hidden)


def _bands(world: World) -> None:
    """A woodcut's sky: flat tones with hand-cut edges, and rays where the sun is low or shines."""
    pen, light, rng = world.pen, world.light, world.rng("bands")
    tones = np.linspace(0, 1, 7)
    places = (0.0, 0.38, 0.74, 1.0)
    sky = np.array(light.sky)
    colours = [tuple(np.interp(t, places, sky[:, k]) for k in range(3)) for t in tones]
    pen.fill(box(world.left, TOP, world.right, 0.0), mix(colours[0], _above(light.sky), 0.3))
    xs = world.xs(28)
    ys = -0.05 + 0.008 * np.sin(7 * xs)
    pen.shape([(world.left, 1.6), *zip(xs, ys, strict=True), (world.right, 1.6)], colours[0])
    cuts = skia.Path()
    for k, t in enumerate(tones[1:], 1):
        y = HORIZON * (t - 0.07)
        ys = y + 0.008 * world.wave(rng, xs, 1.4)
        pen.shape([(world.left, 1.6), *zip(xs, ys, strict=True), (world.right, 1.6)], colours[k])
        cuts = skia.Path()
        for x in rng.uniform(world.left, world.right, world.count(rng, 5, 9)):
            cuts.addPath(lens(x, y - rng.uniform(0.012, 0.034), rng.uniform(0.05, 0.16), rng.uniform(0.005, 0.009)))
        pen.fill(cuts, colours[k])
    shining = any(thing.name == "sun" for thing in world.spec.things)
    if world.spec.weather in (CLEAR, CLOUDS) and (world.spec.time in ("at dawn", "at sunset") or shining):
        y = next((thing.y for thing in world.spec.things if thing.name == "sun"), HORIZON)
        _rays(world, light.x, y)


def _rays(world: World, x: float, y: float) -> None:
    rays, count, far = skia.Path(), 26, world.span + 1
    turn = float(world.rng("rays").random())
    for k in range(count):
        a = 2 * np.pi * (k + turn) / count
        b = a + np.pi / count
        rays.addPath(
            path([(x, y), (x + far * np.cos(a), y + far * np.sin(a)), (x + far * np.cos(b), y + far * np.sin(b))])
        )
    with world.pen.inside(box(world.left, TOP, world.right, HORIZON + 0.02)):
        world.pen.fill(rays, mix(world.light.sun, world.light.sky[3], 0.4), 0.3)


def _stars(world: World, share: float) -> None:
    rng, pen = world.rng("stars"), world.pen
    count = world.count(rng, 75 * share, 90 * share)
    faint, bright = skia.Path(), skia.Path()
    for x, y, size in zip(
        rng.uniform(world.left, world.right, count), rng.random(count), rng.random(count), strict=True
    ):
        y = -0.3 + (HORIZON + 0.24) * y
        radius = 0.0022 + 0.0042 * size**4
        if pen.woodcut:
            radius *= 1.3
        (bright if size > 0.6 else faint).addCircle(float(x), float(y), radius)
    for stars, alpha in ((faint, 0.6), (bright, 1.0)):
        pen.fade(stars, 0.15, HORIZON - 0.04, (255, 250, 235), (255, 250, 235), (alpha, 0.1))


def _curtains(world: World) -> None:
    """Northern lights: curtains of rays, green at the foot, violet at the top."""
    rng = world.rng("aurora")
    at = world.xs(96)
    y = np.linspace(-0.3, HORIZON, 72)[:, None]
    picture = np.zeros((72, len(at), 3))
    for low in rng.permutation([0.24, 0.38, 0.46])[: rng.integers(2, 4)]:
        low = low + rng.uniform(-0.04, 0.04) + 0.09 * world.wave(rng, at)
        rays = 0.68 + 0.32 * world.noise(rng, at, 26, 1)
        strength = np.clip(0.75 + 0.6 * world.wave(rng, at), 0.15, 1.2)
        up = (low - y) / rng.uniform(0.2, 0.34)
        body = np.where(up > 0, np.exp(-np.abs(up) * 1.7), np.exp(-((up * 9) ** 2))) * rays * strength
        foot = np.array(mix((60, 255, 150), (60, 220, 230), float(rng.random()) * 0.6))
        top = np.array(mix((150, 80, 255), (230, 70, 200), float(rng.random())))
        t = np.clip(up, 0, 1)[..., None]
        picture += body[..., None] * (foot * (1 - t) + top * t) * 0.8
    rgba = np.dstack([np.clip(picture, 0, 255), np.full(picture.shape[:2], 255)]).astype(np.uint8)
    image = skia.Image.fromarray(np.ascontiguousarray(rgba), skia.kRGBA_8888_ColorType)
    paint = skia.Paint()
    paint.setBlendMode(skia.BlendMode.kScreen)
    rect = skia.Rect.MakeLTRB(world.left, -0.3, world.right, HORIZON)
    world.pen.canvas.drawImageRect(image, rect, skia.SamplingOptions(skia.CubicResampler.Mitchell()), paint)


def _strips(world: World) -> None:
    """A woodcut's northern lights: standing strokes side by side."""
    rng, pen = world.rng("aurora"), world.pen
    for low, tone in ((0.30, (70, 110, 150)), (0.42, (80, 190, 150))):
        xs = world.xs(22)
        foot = low + rng.uniform(-0.04, 0.04) + 0.09 * world.wave(rng, xs)
        tall = 0.2 + 0.1 * world.noise(rng, xs, 12, 2)
        strips, tips = skia.Path(), skia.Path()
        for x, y, h in zip(xs + rng.uniform(-0.008, 0.008, len(xs)), foot, tall, strict=True):
            strips.addPath(
                path([(x - 0.019, y), (x, y + 0.03), (x + 0.019, y), (x + 0.006, y - h), (x - 0.006, y - h)])
            )
            tips.addPath(path([(x - 0.012, y), (x, y + 0.022), (x + 0.012, y), (x, y - h * 0.6)]))
        pen.fill(strips, tone, 0.75)
        pen.fill(tips, mix(tone, (210, 255, 220), 0.6))


def _rainbow(world: World) -> None:
    """An arc opposite the light; more of them in a very wide drawing."""
    rng, pen, light = world.rng("rainbow"), world.pen, world.light
    radius, y = rng.uniform(0.48, 0.56), HORIZON + 0.06
    x = light.x - light.side * rng.uniform(0.3, 0.42) if world.spec.width < 1.5 else rng.uniform(0.3, 0.9)
    arc = [(232, 70, 70), (250, 150, 60), (252, 226, 90), (96, 200, 110), (70, 150, 230), (136, 90, 200)]
    width = 0.017
    while x < world.right:
        for k, c in enumerate(arc):
            pen.stroke(oval(x, y, radius - k * width, radius - k * width), c, width * 1.15, 0.55)
        x += rng.uniform(3.2, 4.5)


def _clouds(world: World) -> None:
    """Heaps with a flat foot, lit from the light's side, and long thin ones towards the horizon."""
    rng, pen, light = world.rng("clouds"), world.pen, world.light
    white = light.lit((255, 252, 250))
    top = mix(mix(white, (255, 252, 250), 0.22), light.sun, 0.25)
    under = mix(light.sky[2], light.sky[1], 0.45)
    if world.spec.weather != CLOUDS:
        top, under = mix(top, light.sky[1], 0.45), mix(under, light.dim((150, 150, 170)), 0.3)
    for _ in range(world.count(rng, 4, 7)):
        y, w, h = rng.uniform(0.3, HORIZON - 0.04), rng.uniform(0.12, 0.4), rng.uniform(0.006, 0.012)
        c = mix(mix(under, top, 0.7), light.sun, y / HORIZON * 0.4)
        shape = lens(rng.uniform(world.left, world.right), y, w, h * 2.4)
        pen.fill(shape, c, rng.uniform(0.4, 0.75), soft=0.003)
    count = world.count(rng, 3.6, 4.6)
    places = world.left + (np.arange(count) + rng.uniform(-0.3, 0.3, count) + 0.5) / count * world.span
    for x, y in sorted(zip(places, rng.uniform(0.07, 0.40, count), strict=True), key=lambda place: -place[1]):
        w = rng.uniform(0.14, 0.27) * (1.15 - y)
        _heap(world, rng, float(x), float(y), w, top, under)


def _heap(
    world: World,
    rng: np.random.Generator,
    x: float,
    y: float,
    w: float,
    top: tuple[float, ...],
    under: tuple[float, ...],
) -> None:
    pen, light = world.pen, world.light
    cloud, lobes = skia.Path(), skia.Path()
    for k in np.linspace(-1, 1, rng.integers(5, 8)):
        radius = w * 0.30 * (1.15 - 0.72 * k * k) * rng.uniform(0.78, 1.12)
        cx, cy = x + k * w * 0.6, y - radius * 0.5
        cloud.addCircle(cx, cy, radius)
        lobes.addCircle(cx + light.side * radius * 0.2, cy - radius * 0.16, radius * 0.78)
    with pen.inside(box(world.left - 1, TOP - 1, world.right + 1, y)):
        if pen.woodcut:
            pen.edge(cloud, 0.016)
        pen.fade(cloud, y - w * 0.42, y, mix(top, under, 0.35), under, (0.95, 0.75), soft=0.003, steps=2)
        pen.fade(lobes, y - w * 0.4, y, top, mix(top, under, 0.8), (0.95, 0.0), soft=0.005, steps=2)
    pen.edge(path([(x - w * 0.78, y), (x + w * 0.78, y)], False), 0.008)
