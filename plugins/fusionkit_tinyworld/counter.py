"""Counts the objects in a picture of 256 px by their colour: `python -m fusionkit_tinyworld.counter --check`.

A picture of this world has at most one kind of object, and its paint (a balloon's envelope, a main sail, a roof, the
disc of the sun, the crescent of the moon) has a colour that little else in the picture comes near. A blob of pixels
that are near to the paint in CIELAB is an object where some of them are very near, and where it is no fragment of a
larger blob beside it. The command prints how often this is right on drawings where the truth is known.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

LIGHTNESS_WEIGHT = 0.4
"""How much lightness counts in a distance: less than hue and chroma, because paint is shaded and lit."""
_COLOURS = {
    "red": ((226, 40, 34), (236, 36, 26)),
    "yellow": ((255, 214, 48), (255, 230, 70)),
    "blue": ((44, 104, 242),),
    None: ((252, 248, 220),),
}


@dataclass(frozen=True)
class Paint:
    """How an object's pixels are told from others, by their largest distances to its paint in CIELAB."""

    seed: float
    """Of the nearest pixel of a blob."""
    blob: float
    """Of any pixel of a blob."""
    smallest: int = 6
    """Pixels of the smallest blob that counts."""


_RED, _YELLOW, _BLUE = Paint(26, 34), Paint(16, 22), Paint(22, 26)
PAINTS: dict[tuple[str, str | None], Paint] = {
    ("balloon", "red"): _RED,
    ("balloon", "yellow"): Paint(14, 16, 12),
    ("balloon", "blue"): _BLUE,
    # A small boat's sail is small.
    ("boat", "red"): replace(_RED, smallest=4),
    ("boat", "yellow"): replace(_YELLOW, smallest=4),
    ("boat", "blue"): replace(_BLUE, smallest=4),
    ("house", "red"): _RED,
    ("house", "yellow"): _YELLOW,
    ("house", "blue"): _BLUE,
    ("sun", "red"): Paint(16, 16, 8),
    ("sun", "yellow"): Paint(12, 14, 8),
    ("moon", None): Paint(8, 14, 8),
}
"""By object and colour. What glows has little room, and so has yellow, because lit windows are yellow as well."""
FRAGMENT_SHARE, FRAGMENT_GAP = 0.25, 0.15
"""A blob below this share of another's area is part of it, where the gap is below this share of the other's side."""


def distances(image: NDArray[np.uint8], colour: str | None) -> NDArray[np.float32]:
    """Each pixel's distance (H, W) in CIELAB to the nearest paint of a colour."""
    lab = _lab(image)
    paints = _lab(np.array([_COLOURS[colour]], np.uint8))[0]
    away = (lab[:, :, None] - paints) * np.array((LIGHTNESS_WEIGHT, 1, 1), np.float32)
    return np.asarray(np.linalg.norm(away, axis=-1).min(-1), np.float32)


def _lab(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB), np.float32)


def objects(image: NDArray[np.uint8], thing: str, colour: str | None) -> NDArray[np.int32]:
    """The bounding boxes (n, 4) of the objects' painted parts, largest first: left, top, width, height.

    `image` is (H, W, 3) in RGB. Raises ValueError for an object that the world lacks.
    """
    paint = PAINTS.get((thing, colour))
    if paint is None:
        known = ", ".join(" ".join(filter(None, (colour, thing))) for thing, colour in PAINTS)
        raise ValueError(f"unknown object: {colour} {thing}; known: {known}")
    away = distances(image, colour)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((away < paint.blob).astype(np.uint8), connectivity=8)
    seeded = np.setdiff1d(np.unique(labels[away < paint.seed]), 0)
    blobs = stats[seeded][stats[seeded, cv2.CC_STAT_AREA] >= paint.smallest]
    whole: list[NDArray[np.int32]] = []
    for blob in blobs[np.argsort(-blobs[:, cv2.CC_STAT_AREA], kind="stable")]:
        if not any(_is_fragment(blob, larger) for larger in whole):
            whole.append(blob)
    return np.array([blob[:4] for blob in whole], np.int32).reshape(-1, 4)


def _is_fragment(blob: NDArray[np.int32], larger: NDArray[np.int32]) -> bool:
    ends, larger_ends = blob[:2] + blob[2:4], larger[:2] + larger[2:4]
    gap = np.maximum(blob[:2] - larger_ends, larger[:2] - ends).max()
    return bool(blob[4] < FRAGMENT_SHARE * larger[4] and gap < FRAGMENT_GAP * np.max(larger[2:4]))


def count_objects(image: NDArray[np.uint8], thing: str, colour: str | None) -> int:
    """How many objects of a kind a picture (H, W, 3) in RGB shows; raises ValueError for one the world lacks."""
    return len(objects(image, thing, colour))


if __name__ == "__main__":
    from fusionkit_tinyworld.counter_check import main

    sys.exit(main())
