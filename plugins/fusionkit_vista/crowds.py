"""Drawings of any number of things at several sizes, of which it is known where each is: to find them, and to count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fusionkit_vista.drawer import Spec, Thing, sample_spec
from fusionkit_vista.drawer.spec import apart, place
from fusionkit_vista.drawer.words import THINGS
from fusionkit_vista.windows import Window

ZOOMS = {1: 0.4, 2: 0.35, 4: 0.25}
"""Shares of the zooms at which a crowd is looked at."""
SMALLEST, LARGEST = 0.6, 2.2
"""Sizes of things, as seen, in multiples of those of the model's own pictures."""
EMPTY = 0.12
"""The share of the crowds without anything."""


def crowd(rng: np.random.Generator, spec: Spec, name: str, scales: Sequence[float]) -> Spec:
    """The drawing with a thing to each scale, as far as there is room, and nothing else.

    Args:
        rng: Decides where they are.
        spec: The drawing; its own things are left out.
        name: Their kind.
        scales: Sizes, in multiples of the usual ones.
    """
    found: tuple[Thing, ...] = ()
    for scale in sorted(scales, reverse=True):
        for _ in range(8):
            if (one := place(rng, spec, name, 1, scale)) and apart([*found, *one]):
                found += one
                break
    return replace(spec, things=tuple(sorted(found, key=lambda thing: thing.y)))


def crowd_window(seed: int, index: int) -> Window:
    """A window of a crowd at zoom 1, 2 or 4, without a caption.

    At a zoom what is around the things is larger and they need not be, as in enlargements that repeat their subject.
    """
    rng = np.random.default_rng((seed, index, 91))
    zoom = int(rng.choice(list(ZOOMS), p=list(ZOOMS.values())))
    name = str(rng.choice(list(THINGS)))
    spec = sample_spec(rng, thing=name, number=1)
    number = int(rng.integers(1, 2 + 3 * zoom)) if rng.random() >= EMPTY else 0
    sizes = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), number)) / zoom
    spec, span = crowd(rng, spec, name, sizes.tolist()), 1 / zoom
    x, y = (float(v) for v in rng.uniform(0, 1 - span, 2))
    if spec.things and rng.random() < 0.8:
        left, top, right, bottom = spec.things[int(rng.integers(len(spec.things)))].box
        middle = ((left + right) / 2, (top + bottom) / 2)
        x, y = (float(np.clip(m - rng.uniform(0.1, 0.9) * span, 0, 1 - span)) for m in middle)
    return Window(spec, (x, y, float(zoom)), "")
