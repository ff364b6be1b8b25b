"""The content of one drawing, and how one is chosen at random."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from fusionkit_vista.drawer.geography import HORIZON, headlands, open_water, turf
from fusionkit_vista.drawer.words import SCENES, STYLES, THINGS, TIMES, things_of, weathers_of

Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""


@dataclass(frozen=True)
class Thing:
    """One thing: its name, its place (the foot of what stands, the centre of what flies) and its size.

    All are measured in heights of the picture, from its upper left corner.
    """

    name: str
    x: float
    y: float
    size: float

    @property
    def box(self) -> Box:
        """The box around the thing, its shadow, smoke and mirror image left out."""
        left, top, right, bottom = THINGS[self.name].extent
        return (
            self.x + left * self.size,
            self.y + top * self.size,
            self.x + right * self.size,
            self.y + bottom * self.size,
        )


@dataclass(frozen=True)
class Spec:
    """What a drawing shows; `seed` decides all that has no word, and `width` is in heights of the picture.

    `things` holds one to three of one kind, or nothing.
    """

    scene: str
    time: str
    weather: str
    style: str
    things: tuple[Thing, ...] = ()
    seed: int = 0
    width: float = 1.0

    @property
    def thing(self) -> str | None:
        """The kind of its things."""
        return self.things[0].name if self.things else None


def labels(spec: Spec) -> dict[str, Any]:
    """What a judge reads off the drawing: style, scene, time, weather, thing ("" for none) and number of things."""
    return {
        "style": spec.style,
        "scene": spec.scene,
        "time": spec.time,
        "weather": spec.weather,
        "thing": spec.thing or "",
        "number": len(spec.things),
    }


def sample_spec(
    rng: np.random.Generator,
    *,
    width: float = 1.0,
    style: str | None = None,
    scene: str | None = None,
    time: str | None = None,
    weather: str | None = None,
    thing: str | None = None,
    number: int | None = None,
) -> Spec:
    """A drawing at random: style, scene, time and weather uniform; things in three of four, mostly one of a kind.

    No extra style or thing is among them. What is given is fixed (a thing "" means none), and what is left open is
    chosen so that it goes with it.

    Raises:
        ValueError: If what is given doesn't go together, such as a whale in a city.
    """
    style = style or str(rng.choice(STYLES))
    scene, time, weather = _setting(rng, scene, time, weather, thing)
    if thing is None:
        names = tuple(name for name in things_of(scene, time, weather) if THINGS[name].most >= (number or 1))
        thing = _thing(rng, names) if rng.random() < 0.75 or number else ""
    few = number or 1
    if thing and few > THINGS[thing].most:
        raise ValueError(f"a picture holds at most {THINGS[thing].most} of {thing!r}, not {few}")
    if thing and number is None and THINGS[thing].most > 1 and rng.random() >= 0.65:
        few = int(rng.integers(2, THINGS[thing].most + 1))
    for attempt in range(30):
        spec = Spec(scene, time, weather, style, (), int(rng.integers(2**31)), width)
        if not thing:
            return spec
        if number is None and attempt % 3 == 2:
            few = max(1, few - 1)
        if found := place(rng, spec, thing, few):
            return replace(spec, things=found)
    raise ValueError(f"there is no room for {few} {thing}{'s' if few > 1 else ''} in a picture of this width")


def _thing(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    """One of the things, those that few settings can hold more often."""
    settings = _settings()
    weights = np.array([settings[name] ** -0.8 if not THINGS[name].extra else 0.0 for name in names])
    return str(rng.choice(names, p=weights / weights.sum()))


@lru_cache(maxsize=1)
def _settings() -> Counter[str]:
    """In how many scenes, times and weathers each thing can be."""
    return Counter(
        name
        for scene in SCENES
        for time in TIMES
        for weather in weathers_of(scene, time)
        for name in things_of(scene, time, weather)
    )


def _setting(
    rng: np.random.Generator, scene: str | None, time: str | None, weather: str | None, thing: str | None
) -> tuple[str, str, str]:
    """A scene, a time and a weather that go with each other and with what is given."""
    fits = [
        (s, t, w)
        for s in SCENES
        for t in TIMES
        for w in weathers_of(s, t)
        if scene in (None, s)
        and time in (None, t)
        and weather in (None, w)
        and (not thing or thing in things_of(s, t, w))
    ]
    if not fits:
        raise ValueError(_not_together(scene, time, weather, thing))
    scene = str(rng.choice(list(dict.fromkeys(s for s, _, _ in fits))))
    time = str(rng.choice(list(dict.fromkeys(t for s, t, _ in fits if s == scene))))
    return scene, time, str(rng.choice([w for s, t, w in fits if s == scene and t == time]))


def _not_together(scene: str | None, time: str | None, weather: str | None, thing: str | None) -> str:
    """That these are never drawn together, and what could stand in place of one of them."""
    given = [scene, time, weather, thing]
    *most, last = (f"'{part}'" for part in given if part)
    said = f"{', '.join(most)} and {last} don't go together"
    every = [
        (s, t, w, each)
        for s in SCENES
        for t in TIMES
        for w in weathers_of(s, t)
        for each in (things_of(s, t, w) if thing else (None,))
    ]
    for number, part in enumerate(given):
        others = [(n, other) for n, other in enumerate(given) if other and n != number]
        fits = [setting[number] for setting in every if all(setting[n] == other for n, other in others)]
        if part and fits:
            return f"{said}; in place of '{part}': {', '.join(map(str, dict.fromkeys(fits)))}"
    return said


def place(rng: np.random.Generator, spec: Spec, name: str, number: int, scale: float = 1.0) -> tuple[Thing, ...]:
    """Things of one kind at places where they can stand, apart from each other; none if so many have no room.

    Args:
        rng: Decides where they are.
        spec: The drawing.
        name: Their kind.
        number: How many; of several each is a little smaller.
        scale: Their size, as a multiple of the usual one.
    """
    kind = THINGS[name]
    small, large = (size * scale * (1.0, 1.0, 0.84, 0.72)[min(number, 3)] for size in kind.sizes)
    stretches = _stretches(spec, name)
    for _ in range(60 if stretches else 0):
        found: list[Thing] = []
        for _ in range(number):
            size = float(rng.uniform(small, large))
            low, high = stretches[int(rng.integers(len(stretches)))]
            left, right = low - kind.extent[0] * size + 0.02, high - kind.extent[2] * size - 0.02
            if right <= left:
                break
            x = float(rng.uniform(left, right))
            found.append(Thing(name, x, _height(rng, spec, name, x, size), size))
        if len(found) == number and apart(found):
            return tuple(sorted(found, key=lambda thing: thing.y))
    return ()


def _stretches(spec: Spec, name: str) -> tuple[tuple[float, float], ...]:
    """Where along x a thing can be."""
    if spec.scene == "a rocky coast":
        if THINGS[name].stands == "water":
            return open_water(spec.seed, spec.width, spec.scene)
        if THINGS[name].stands == "cliff":
            cliffs = headlands(spec.seed, spec.width)
            shores = [(max(cliff.flat[0] - 0.01, 0.0), min(cliff.flat[1] + 0.01, spec.width)) for cliff in cliffs]
            return tuple(shore for shore in shores if shore[1] - shore[0] > 0.33)
    return ((0.0, spec.width),)


def _height(rng: np.random.Generator, spec: Spec, name: str, x: float, size: float) -> float:
    """The height at which a thing stands or flies."""
    scene, stands = spec.scene, THINGS[name].stands
    if name == "sun":
        low = scene in ("the sea", "a rocky coast", "a desert", "green hills") and spec.time != "at noon"
        return float(rng.uniform(0.33, 0.46) if low else rng.uniform(0.18, 0.27))
    if stands == "sky":
        extent = THINGS[name].extent
        return float(rng.uniform(0.04 - extent[1] * size, max(0.30, 0.05 - extent[1] * size)))
    if stands == "water":
        return float(rng.uniform(HORIZON + 0.1, 0.86) if scene != "a city" else rng.uniform(HORIZON + 0.14, 0.88))
    if stands == "cliff" and scene == "a rocky coast":
        cliff = next(c for c in headlands(spec.seed, spec.width) if c.left <= x <= c.right)
        return turf(cliff, x) + 0.012
    if stands == "cliff":
        return float(rng.uniform(0.70, 0.78) if scene in ("the sea", "a mountain lake") else rng.uniform(0.74, 0.84))
    if name == "train":
        return float(rng.uniform(0.78, 0.86))
    return float(rng.uniform(0.84, 0.93))


def apart(things: Sequence[Thing]) -> bool:
    """Whether no two boxes touch."""
    boxes = [thing.box for thing in things]
    gap = 0.015
    return not any(
        a[0] < b[2] + gap and b[0] < a[2] + gap and a[1] < b[3] + gap and b[1] < a[3] + gap
        for i, a in enumerate(boxes)
        for b in boxes[:i]
    )
