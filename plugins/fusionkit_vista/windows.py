"""Training pictures: which window of which drawing the picture with a given number is, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fusionkit_vista.drawer import Spec, boxes, draw, labels, sample_spec, visible, window_caption

MARGIN = 16
"""Pixels beyond each border of a training picture, so that no border is special."""
SIDE = 128
"""Pixels of a picture's side without its margin."""
CLOSE = {2: 0.17, 4: 0.11}
"""The share of the pictures that are close-ups, by zoom."""
WIDE = 0.12
"""The share of the other pictures that are windows of wide drawings."""


@dataclass(frozen=True)
class Window:
    """One training picture: a view (x, y, zoom) of a drawing, and its caption."""

    spec: Spec
    view: tuple[float, float, float]
    caption: str

    def draw(self, margin: int = MARGIN) -> np.ndarray:
        """The picture, uint8 (128 + 2 margin, 128 + 2 margin, 3)."""
        return draw(self.spec, self.view, (SIDE, SIDE), margin)

    def facts(self) -> dict[str, Any]:
        """The caption, the labels, the view, and the boxes of things in pixels without the margin.

        The labels count the things that the window shows; `scene` is that of the drawing even where it shows sky alone.
        """
        x, y, zoom = self.view
        seen = visible(self.spec, (x, y, x + 1 / zoom, y + 1 / zoom))
        around = boxes(replace(self.spec, things=seen), self.view, (SIDE, SIDE))
        return {
            "caption": self.caption,
            **labels(replace(self.spec, things=seen)),
            "view": list(self.view),
            "boxes": [[round(v, 1) for v in box] for box in around],
        }


def window(seed: int, index: int, *, close: bool = True, **fixed: Any) -> Window:
    """The training picture `index` of a seed; without `close`, only whole drawings of one picture's width.

    Half of the close-ups look at a thing, if there is one. `fixed` is what `sample_spec` takes, such as an extra style.
    """
    rng = np.random.default_rng((seed, index))
    chance = float(rng.random())
    zoom = next((z for z, share in _shares() if chance < share), 1) if close else 1
    wide = close and zoom == 1 and rng.random() < WIDE
    spec = sample_spec(rng, width=float(rng.uniform(1.5, 6)) if wide else 1.0, **fixed)
    span = 1 / zoom
    x, y = float(rng.uniform(0, spec.width - span)), float(rng.uniform(0, 1 - span))
    if zoom > 1 and spec.things and rng.random() < 0.5:
        box = spec.things[int(rng.integers(len(spec.things)))].box
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        x, y = (float(np.clip(m + rng.uniform(-0.85, -0.15) * span, 0, 1 - span)) for m in middle)
    elif zoom == 1 and not wide:
        x = y = 0.0
    return Window(spec, (x, y, float(zoom)), window_caption(spec, (x, y, x + span, y + span), rng))


def _shares() -> list[tuple[int, float]]:
    """Zooms with the running sum of their shares."""
    total, found = 0.0, []
    for zoom, share in CLOSE.items():
        total += share
        found.append((zoom, total))
    return found
