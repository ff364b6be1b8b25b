"""Lines of progress, and an end in time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def boxed(items: Sequence[Item], name: str, minutes: float | None = None, every: float = 10.0) -> Iterator[Item]:
    """The items one after the other, until the time is over; how far it is goes to stderr.

    Args:
        items: What is to be done.
        name: Of the lines.
        minutes: No further item is begun after so long.
        every: Seconds between two lines.
    """
    begun = told = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if minutes is not None and now - begun > 60 * minutes and done:
            print(f"{name}: the time is over after {done} of {len(items)}", file=sys.stderr, flush=True)
            return
        if done and now - told > every:
            left = (now - begun) / done * (len(items) - done)
            print(f"{name}: {done} of {len(items)}, about {left:.0f} s left", file=sys.stderr, flush=True)
            told = now
        yield item
