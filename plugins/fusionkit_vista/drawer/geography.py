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
    """Land that stands out of the water from `left` to `right`, its turf at `top` and its foot at `foot`.

    At its `steep` end (-1 left, 1 right) it is a cliff, at the other it slopes down to the water.
    """

    left: float
    right: float
    top: float
    foot: float
    steep: int

    @property
    def flat(self) -> tuple[float, float]:
        """From where to where something can stand on it."""
        far = self.right - self.left
        return (self.left, self.left + 0.55 * far) if self.steep < 0 else (self.right - 0.55 * far, self.right)


def headlands(seed: int, width: float) -> tuple[Headland, ...]:
    """The near cliffs of a rocky coast: at one side of a square picture, and about one a height in a wide one."""
    rng = room(seed, "headlands")
    left_first = rng.random() < 0.5
    at = -1.2 if left_first else rng.uniform(0.5, 0.6)
    found: list[Headland] = []
    while at < width + BEYOND:
        long, steep = rng.uniform(0.85, 1.3), 1 if rng.random() < 0.5 else -1
        if not found:
            long, steep = (rng.uniform(1.58, 1.7), 1) if left_first else (rng.uniform(1.2, 1.6), -1)
        top, foot = HORIZON - rng.uniform(0.015, 0.06), HORIZON + rng.uniform(0.2, 0.26)
        found.append(Headland(at, at + long, top, foot, steep))
        at += long + rng.uniform(0.66, 0.95)
    return tuple(found)


def turf(cliff: Headland, x: float) -> float:
    """Height of a headland's turf: level from its cliff on, then down to the water."""
    t = (x - cliff.left) / (cliff.right - cliff.left)
    t = 1 - t if cliff.steep > 0 else t
    down = min(1.0, max(0.0, (t - 0.5) / 0.5))
    down = down * down * (3 - 2 * down)
    return cliff.top + 0.02 * t + (cliff.foot - 0.012 - cliff.top - 0.02) * down


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
