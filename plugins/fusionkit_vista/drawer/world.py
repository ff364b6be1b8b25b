"""What the rooms of the drawer share: the extent of the drawing, its light, its pen and its random curves."""

from __future__ import annotations

import numpy as np

from fusionkit_vista.drawer.geography import BEYOND, room
from fusionkit_vista.drawer.light import Light
from fusionkit_vista.drawer.pen import Pen
from fusionkit_vista.drawer.spec import Spec

Curve = tuple[np.ndarray, np.ndarray]
"""The x and y of places along a curve, from left to right."""


class World:
    """One drawing in the making, from `left` to `right`, which lie well beyond the picture's borders."""

    def __init__(self, spec: Spec):
        self.spec = spec
        self.left, self.right = -BEYOND, spec.width + BEYOND
        self.span = self.right - self.left
        rng = self.rng("light")
        discs = [thing.x for thing in spec.things if thing.name in ("sun", "moon")]
        x = float(rng.uniform(0.16, 0.84)) * spec.width
        x = discs[0] if discs else x
        self.light = Light(spec.time, spec.weather, rng, x, 1 if x > spec.width / 2 else -1)
        self.pen: Pen

    def rng(self, name: str) -> np.random.Generator:
        """The random numbers of a room, which don't depend on the things."""
        return room(self.spec.seed, name)

    def count(self, rng: np.random.Generator, low: float, high: float) -> int:
        """A number of pieces of which a square picture has between `low` and `high`."""
        return int(rng.uniform(low, high) * self.span + rng.random())

    def xs(self, per_unit: int) -> np.ndarray:
        """Places along the whole drawing."""
        return np.linspace(self.left, self.right, int(per_unit * self.span) + 1)

    def noise(
        self, rng: np.random.Generator, xs: np.ndarray, base: float, octaves: int, rough: float = 0.5
    ) -> np.ndarray:
        """Fractal noise at places, about -1 to 1, of straight pieces of the length 1 / base and less."""
        result, weight = np.zeros(len(xs)), 1.0
        for octave in range(octaves):
            frequency = base * 2**octave
            at = (xs - self.left) * frequency + rng.random()
            knots = rng.uniform(-1, 1, int(self.span * frequency) + 4)
            result += weight * np.interp(at, np.arange(len(knots)), knots)
            weight *= rough
        return result

    def wave(self, rng: np.random.Generator, xs: np.ndarray, frequency: float = 1.0) -> np.ndarray:
        """A smooth curve at places, about -1 to 1."""
        result = np.zeros(len(xs))
        for _ in range(3):
            result += rng.uniform(0.4, 1) * np.sin(frequency * xs * rng.uniform(2, 7) + rng.uniform(0, 6.3))
        return np.asarray(result * 0.47)
