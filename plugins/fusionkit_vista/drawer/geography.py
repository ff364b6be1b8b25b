"""Where land and water lie, which both the choice of a thing's place and the drawing ask for; no drawing library."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

HORIZON = 0.62
"""Height of the horizon from the top, the same in every scene, so that the windows of a panorama join."""
BEYOND = 0.4
"""How far a drawing goes on to the left and right of the picture, in heights of the picture."""


def room(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one room of the drawing, which no other room disturbs."""
    return np.random.default_rng((seed, zlib.crc32(name.encode())))


@dataclass(frozen=True)
class Headland:
    """A cliff that stands out of the water from `left` to `right`, its turf at `top` and its foot at `foot`."""

    left: float
    right: float
    top: float
    foot: float


def headlands(seed: int, width: float) -> tuple[Headland, ...]:
    """The near cliffs of a rocky coast: at one side of a square picture, and about one a height in a wide one."""
    rng = room(seed, "headlands")
    left_first = rng.random() < 0.5
    at = -1.2 if left_first else rng.uniform(0.5, 0.62)
    found = []
    while at < width + BEYOND:
        long = rng.uniform(0.62, 1.0) if found or not left_first else rng.uniform(1.58, 1.72)
        if not found and not left_first:
            long = rng.uniform(0.9, 1.4)
        found.append(Headland(at, at + long, HORIZON - rng.uniform(0.015, 0.06), HORIZON + rng.uniform(0.22, 0.27)))
        at += long + rng.uniform(0.6, 0.9)
    return tuple(found)


def turf(cliff: Headland, x: float) -> float:
    """Height of the cliff's turf: highest at its middle, falling to both ends."""
    t = (x - cliff.left) / (cliff.right - cliff.left)
    return cliff.top + 0.03 * (2 * t - 1) ** 2


def open_water(seed: int, width: float, scene: str) -> tuple[tuple[float, float], ...]:
    """The stretches of x, within the picture, at which there is water."""
    if scene != "a rocky coast":
        return ((0.0, width),)
    edges = [0.0]
    for cliff in headlands(seed, width):
        edges += [cliff.left - 0.06, cliff.right + 0.08]
    edges.append(width)
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return tuple((max(a, 0.0), min(b, width)) for a, b in pairs if min(b, width) - max(a, 0.0) > 0.2)
