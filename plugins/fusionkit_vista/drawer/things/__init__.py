"""Things, each drawn around its place in units of its size: what flies, floats, stands and lives in the landscape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fusionkit_vista.drawer.spec import Thing
from fusionkit_vista.drawer.things.afloat import sailboat, whale
from fusionkit_vista.drawer.things.aloft import balloon, moon, rocket, sun, trail
from fusionkit_vista.drawer.things.beasts import dragon
from fusionkit_vista.drawer.things.camp import cabin, tent
from fusionkit_vista.drawer.things.rail import track, train
from fusionkit_vista.drawer.things.towers import castle, lighthouse, windmill
from fusionkit_vista.drawer.world import World

_DRAWN: dict[str, Callable[[World, np.random.Generator, float], None]] = {
    "sun": sun,
    "moon": moon,
    "balloon": balloon,
    "rocket": rocket,
    "sailboat": sailboat,
    "whale": whale,
    "lighthouse": lighthouse,
    "castle": castle,
    "cabin": cabin,
    "tent": tent,
    "windmill": windmill,
    "train": train,
    "dragon": dragon,
}
_MIRRORED = ("sailboat", "whale")


def draw_thing(world: World, thing: Thing, number: int) -> None:
    """One thing, with its mirror image if it is afloat, its trail if it flies up and its rails if it needs them."""
    pen, one = world.pen, _DRAWN[thing.name]
    name = f"thing {number}"
    if thing.name == "train":
        track(world, thing)
    if thing.name == "rocket":
        trail(world, thing)
    mirrored = thing.name in _MIRRORED or (
        thing.name in ("castle", "lighthouse") and world.spec.scene in ("a mountain lake", "the sea")
    )
    if mirrored:
        foot = thing.y + (0.3 * thing.size if thing.name in ("castle", "lighthouse") else 0.0)
        with pen.at(thing.x, 2 * foot - thing.y, thing.size, up=-0.9, alpha=0.34), world.light.near():
            one(world, world.rng(name), thing.size)
    with pen.at(thing.x, thing.y, thing.size), world.light.near():
        one(world, world.rng(name), thing.size)


__all__ = ["draw_thing"]
