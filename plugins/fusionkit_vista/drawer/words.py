"""What a drawing may show, and which of it belongs together: the closed vocabulary of the embedded world `vista`."""

from __future__ import annotations

from dataclasses import dataclass

STYLES = ("poster", "woodcut")
EXTRA_STYLES = ("watercolour",)
"""Styles that are drawn only where they are asked for: what an expert can know and the base model does not."""
SCENES = (
    "mountains",
    "a mountain lake",
    "the sea",
    "a rocky coast",
    "a forest",
    "a desert",
    "a city",
    "green hills",
    "a snowy forest",
)
TIMES = ("at dawn", "at noon", "at sunset", "at dusk", "at night", "under northern lights")
CLEAR, CLOUDS, MIST, SNOWFALL, RAIN = WEATHERS = (
    "in clear weather",
    "under clouds",
    "in mist",
    "in snowfall",
    "in rain under a rainbow",
)
DARK = ("at dusk", "at night", "under northern lights")
"""The times at which lamps burn and stars are seen."""
LOW_SUN = ("at dawn", "at sunset", "at dusk")
"""The times at which the light comes from the horizon."""
WET = ("a mountain lake", "the sea", "a rocky coast", "a city")
"""The scenes with water."""
SKY = "the sky"
"""What a window above the horizon shows of any scene."""
NUMBERS = {1: "a", 2: "two", 3: "three"}


@dataclass(frozen=True)
class Kind:
    """What is known of one kind of thing.

    `extent` is its box (left, top, right, bottom) around its place in units of its size; `sizes` are the smallest and
    largest size in heights of the picture; `most` is how many of it one picture may hold; `stands` says where: in the
    "sky", on "land", on "water" or on a "cliff"; what is `extra` is drawn only where it is asked for.
    """

    extent: tuple[float, float, float, float]
    sizes: tuple[float, float]
    scenes: tuple[str, ...]
    stands: str = "land"
    most: int = 1
    extra: bool = False


_GROUND = ("mountains", "a forest", "green hills", "a snowy forest")
THINGS = {
    "sun": Kind((-1, -1, 1, 1), (0.115, 0.145), SCENES, "sky"),
    "moon": Kind((-1, -1, 1, 1), (0.10, 0.13), SCENES, "sky"),
    "balloon": Kind((-1, -1, 1, 1.82), (0.115, 0.145), SCENES, "sky", 3),
    "rocket": Kind((-0.5, -1.05, 0.5, 1.2), (0.15, 0.19), ("mountains", "the sea", "a desert", "a city"), "sky"),
    "sailboat": Kind(
        (-0.8, -1.75, 0.85, 0.14), (0.17, 0.21), ("a mountain lake", "the sea", "a rocky coast", "a city"), "water", 3
    ),
    "whale": Kind((-1.05, -1.0, 1.1, 0.12), (0.17, 0.21), ("the sea", "a rocky coast"), "water", 2),
    "lighthouse": Kind((-0.34, -2.08, 0.82, 0.0), (0.18, 0.21), ("the sea", "a rocky coast"), "cliff"),
    "castle": Kind(
        (-0.84, -1.9, 0.84, 0.0),
        (0.17, 0.21),
        ("mountains", "a mountain lake", "a rocky coast", "a forest", "green hills"),
        "cliff",
    ),
    "cabin": Kind((-1.02, -1.38, 0.98, 0.0), (0.14, 0.18), ("a mountain lake", *_GROUND), "land", 2),
    "tent": Kind((-0.95, -1.02, 1.45, 0.02), (0.15, 0.19), ("a mountain lake", "a desert", *_GROUND), "land", 2),
    "windmill": Kind((-0.95, -1.95, 0.95, 0.0), (0.17, 0.2), ("green hills",), "land", 3),
    "train": Kind((-1.3, -0.86, 1.3, 0.0), (0.19, 0.23), ("mountains", "green hills", "a desert", "a snowy forest")),
    "dragon": Kind((-1.0, -0.78, 1.0, 0.62), (0.19, 0.23), SCENES, "sky", extra=True),
}
"""Every kind of thing."""


def weathers_of(scene: str, time: str) -> tuple[str, ...]:
    """The weathers that a scene can have at a time of day: a rainbow needs the sun, northern lights a sky to see."""
    found = [CLEAR, MIST] if time == "under northern lights" else [CLEAR, CLOUDS, MIST]
    if scene in ("mountains", "a mountain lake", "a city", "a snowy forest") and time != "under northern lights":
        found.append(SNOWFALL)
    if time in ("at dawn", "at noon", "at sunset") and scene != "a snowy forest":
        found.append(RAIN)
    return tuple(found)


def things_of(scene: str, time: str, weather: str) -> tuple[str, ...]:
    """The things that a scene can hold at a time of day in a weather: no sun at night or in rain."""
    found = [name for name, kind in THINGS.items() if scene in kind.scenes]
    if time not in ("at dawn", "at noon", "at sunset") or weather in (RAIN, SNOWFALL):
        found.remove("sun")
    if time not in ("at dusk", "at night"):
        found.remove("moon")
    return tuple(found)
