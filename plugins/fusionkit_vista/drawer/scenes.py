"""The scenes: what lies behind whom, from the horizon to the foreground."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fusionkit_vista.drawer.coast import cliffs, far_cliffs, islands
from fusionkit_vista.drawer.desert import dunes, table_mountains
from fusionkit_vista.drawer.geography import HORIZON
from fusionkit_vista.drawer.ground import furrows, hatching, meadow_details
from fusionkit_vista.drawer.land import hill, mist, mountain_range
from fusionkit_vista.drawer.light import GRASS, PINE, SAND, SNOW, Colour, mix
from fusionkit_vista.drawer.plants import conifers, round_trees
from fusionkit_vista.drawer.town import skyline
from fusionkit_vista.drawer.words import SNOWFALL
from fusionkit_vista.drawer.world import World

Room = Callable[[World], None]


def _white(world: World) -> bool:
    return world.spec.weather == SNOWFALL or world.spec.scene == "a snowy forest"


def _backdrop(world: World, low: float, high: float) -> None:
    rng = world.rng("backdrop")
    snow = 0.55 if _white(world) or rng.random() < 0.75 else 0.0
    mountain_range(world, "backdrop", HORIZON, rng.uniform(low, high), 0.62, snow, rng.uniform(3, 4.6))
    mist(world, "backdrop", HORIZON - 0.02, 0.07, 0.5)


def _range(world: World, base: float, low: float, high: float, haze: float) -> None:
    rng = world.rng("near range")
    snow = rng.uniform(0.4, 0.68) if _white(world) or rng.random() < 0.75 else 0.0
    mountain_range(world, "range", base, rng.uniform(low, high), haze, snow, rng.uniform(2, 3.2))


def _meadow(world: World, base: float, c: Colour, frame: bool, dark: float = 0.45) -> None:
    """Open ground in front, framed by tall conifers at some places."""
    curve = hill(world, "meadow", base, 0.02, c, 0.0, 0.28, 0.6, dark)
    if _white(world):
        hatching(world, "meadow", base + 0.05, 1.0, world.light.half((170, 184, 220), 0.4), 0.5)
    else:
        hatching(world, "meadow", base + 0.05, 1.0, world.light.dim(c), 0.5)
    meadow_details(world, "meadow", curve, c)
    if frame:
        _frame(world, curve)


def _frame(world: World, curve: tuple[np.ndarray, np.ndarray], height: float = 0.26) -> None:
    """Tall conifers in groups, which leave room for the things."""
    rng = world.rng("frame")
    groups = world.left + np.cumsum(rng.uniform(0.5, 1.3, int(world.span * 2) + 3)) - 0.5
    half = rng.uniform(0.05, 0.14, len(groups))
    boxes = [thing.box for thing in world.spec.things if thing.box[3] > 0.7]

    def keep(x: float) -> bool:
        free = all(x < b[0] - 0.03 or x > b[2] + 0.03 for b in boxes)
        return free and bool((np.abs(groups - x) < half).any())

    xs, ys = curve
    conifers(world, "frame", (xs, ys + 0.06), 15, height, PINE, 0.0, _white(world), keep)


def mountains(world: World) -> None:
    """Two ranges, a dark wood at their feet and a meadow."""
    rng = world.rng("mountains")
    _backdrop(world, 0.2, 0.3)
    _range(world, HORIZON + 0.06, 0.30, 0.42, 0.2)
    mist(world, "range", HORIZON + 0.06, 0.09, 0.7)
    ground = SNOW if _white(world) else PINE
    curve = hill(world, "wood", HORIZON + 0.11, 0.03, ground, 0.34)
    conifers(world, "wood", curve, 42, 0.08, PINE, 0.34, _white(world))
    mist(world, "wood", HORIZON + 0.16, 0.06, 0.4)
    c = SNOW if _white(world) else mix(GRASS, PINE, rng.uniform(0.2, 0.8))
    _meadow(world, HORIZON + 0.20, c, rng.random() < 0.6)


def lake(world: World) -> None:
    """Mountains and a wooded shore that stand on their heads in the water."""
    rng = world.rng("lake")
    _backdrop(world, 0.2, 0.3)
    _range(world, HORIZON + 0.01, 0.28, 0.4, 0.22)
    mist(world, "range", HORIZON - 0.01, 0.07, 0.65)
    curve = hill(world, "shore", HORIZON - 0.012, 0.01, SNOW if _white(world) else PINE, 0.2, 0.05)
    conifers(world, "shore", curve, 42, rng.uniform(0.08, 0.12), PINE, 0.16, _white(world))


def near_shore(world: World) -> None:
    """A strip of meadow at the bottom of a lake, where something stands on it or by chance."""
    rng = world.rng("near shore")
    on_it = any(thing.name in ("cabin", "tent") for thing in world.spec.things)
    if on_it or (rng.random() < 0.4 and not world.spec.things):
        c = SNOW if _white(world) else mix(GRASS, PINE, rng.uniform(0.2, 0.7))
        _meadow(world, 0.85 if on_it else 0.93, c, True)


def sea(world: World) -> None:
    """Islands at the horizon."""
    if world.rng("sea").random() < 0.7:
        islands(world, 0.8, 1.8)


def coast(world: World) -> None:
    """Far headlands in the haze."""
    far_cliffs(world)


def near_coast(world: World) -> None:
    """The near cliffs."""
    cliffs(world)


def forest(world: World) -> None:
    """Rows of conifers, the nearer the darker, around a clearing."""
    rng = world.rng("forest")
    snow = _white(world)
    ground = SNOW if snow else mix(GRASS, PINE, 0.55)
    if rng.random() < 0.7:
        _backdrop(world, 0.18, 0.28)
    rows = ((HORIZON - 0.03, 0.11, 40, 0.6), (HORIZON + 0.05, 0.15, 30, 0.38), (HORIZON + 0.13, 0.2, 22, 0.16))
    for k, (y, height, density, haze) in enumerate(rows):
        curve = hill(world, f"row {k}", y, 0.03, ground, haze + 0.1, 0.2)
        conifers(world, f"row {k}", curve, density, height, PINE, haze, snow)
        mist(world, f"row {k}", y + 0.06, 0.06, 0.55)
    _clearing(world, ground)


def _clearing(world: World, ground: Colour) -> None:
    curve = hill(world, "clearing", HORIZON + 0.22, 0.02, ground, 0.0, 0.26, 0.5)
    tone = world.light.half((170, 184, 220), 0.4) if _white(world) else world.light.dim(ground)
    hatching(world, "clearing", HORIZON + 0.27, 1.0, tone, 0.5)
    meadow_details(world, "clearing", curve, ground)
    _frame(world, curve, 0.36)


def desert(world: World) -> None:
    """Table mountains and dunes."""
    rng = world.rng("desert")
    sand = mix(SAND, (232, 150, 96), rng.random())
    stone = mix((206, 108, 72), (176, 92, 84), rng.random())
    if world.spec.time == "under northern lights":  # whose green would make meadows of sand
        sand, stone = mix(sand, (255, 176, 190), 0.75), mix(stone, (220, 110, 150), 0.6)
    for haze in (0.6, 0.34):
        table_mountains(world, f"tables {haze}", haze, stone)
    mist(world, "tables", HORIZON, 0.05, 0.5)
    layers = (
        (HORIZON + 0.04, 0.07, 0.42),
        (HORIZON + 0.12, 0.09, 0.2),
        (HORIZON + 0.21, 0.1, 0.06),
        (HORIZON + 0.33, 0.1, 0.0),
    )
    for k, (base, height, haze) in enumerate(layers):
        dunes(world, f"dune {k}", base, height, haze, sand)


def city(world: World) -> None:
    """Three rows of buildings at the water, perhaps before mountains."""
    if world.rng("city").random() < 0.35:
        mountain_range(world, "backdrop", HORIZON, 0.18, 0.66, 0.5, 4)
    rows = ((0.62, 0.40, 0.05, False), (0.36, 0.36, 0.066, False), (0.1, 0.24, 0.082, True))
    for k, (haze, tall, wide, lamps) in enumerate(rows):
        skyline(world, f"row {k}", haze, tall, wide, lamps or k == 1)
        mist(world, f"row {k}", HORIZON - 0.01, 0.07, 0.3 if k < 2 else 0.0)


def hills(world: World) -> None:
    """Rolling fields with rows of trees."""
    rng = world.rng("hills")
    if rng.random() < 0.6:
        mountain_range(world, "backdrop", HORIZON, rng.uniform(0.1, 0.18), 0.66, 0.5 * (rng.random() < 0.5), 4)
    mist(world, "backdrop", HORIZON - 0.02, 0.06, 0.5)
    others = ((200, 190, 90), PINE, (170, 190, 80), (226, 196, 96))
    tones = [mix(GRASS, other, rng.uniform(0, 0.6)) for other in others]
    order = rng.permutation(4)
    layers = (
        (HORIZON, 0.03, 0.5),
        (HORIZON + 0.065, 0.036, 0.3),
        (HORIZON + 0.14, 0.036, 0.12),
        (HORIZON + 0.23, 0.03, 0.0),
    )
    for k, (base, amplitude, haze) in enumerate(layers):
        c = tones[order[k]]
        curve = hill(world, f"hill {k}", base, amplitude, c, haze, 0.22, 0.9)
        if rng.random() < 0.6:
            furrows(world, f"field {k}", curve, c, haze)
        if k < 3 and rng.random() < 0.85:
            round_trees(world, f"trees {k}", curve, 0.014 + 0.007 * k, haze, rng.random() < 0.4)
        mist(world, f"hill {k}", base + 0.04, 0.05, 0.3 * (k < 2))


FAR: dict[str, Room] = {
    "mountains": mountains,
    "a mountain lake": lake,
    "the sea": sea,
    "a rocky coast": coast,
    "a forest": forest,
    "a desert": desert,
    "a city": city,
    "green hills": hills,
    "a snowy forest": forest,
}
"""What is drawn before the water mirrors it; all of the land where there is no water."""
NEAR: dict[str, Room] = {"a mountain lake": near_shore, "a rocky coast": near_coast}
"""What is drawn over the water."""
CALM = {"a mountain lake": (0.75, 1.0), "the sea": (0.1, 0.5), "a rocky coast": (0.1, 0.4), "a city": (0.5, 0.85)}
"""How calm the water is, from 0 to 1."""
TINT = {
    "a mountain lake": (30, 90, 120),
    "the sea": (16, 104, 156),
    "a rocky coast": (18, 112, 150),
    "a city": (26, 76, 120),
}
"""The water's own colour."""
GLITTER = {"the sea": 0.9, "a rocky coast": 0.5, "a city": 0.3}
"""How strongly the light glitters on the water."""
