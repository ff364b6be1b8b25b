"""How many things a picture of vista shows, by its finder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionkit_vista.finder import Finder, load_finder

FOLDER = Path(__file__).parent / "weights" / "finder"


@lru_cache(maxsize=1)
def shipped_finder() -> Finder:
    """The finder of the package."""
    return load_finder(FOLDER)


def count_things(picture: NDArray[np.uint8], name: str) -> int:
    """How many things of a kind a picture (h, w, 3) shows, of whatever size from two thirds of the usual one on.

    Raises:
        ValueError: For a kind that the world lacks, or a picture smaller than a window of 128 px.
    """
    finder = shipped_finder()
    if name not in finder.things:
        raise ValueError(f"unknown thing: {name!r}; known: {', '.join(finder.things)}")
    if min(picture.shape[:2]) < 128:
        raise ValueError(f"a picture of {picture.shape[1]}x{picture.shape[0]} is smaller than a window of 128x128")
    return len(finder.find(picture, name))
