"""How far a training is and when it ends: by a number of steps, by seconds, or at a moment."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any


@dataclass
class Clock:
    """The time box of a training; one of the three limits is given.

    Args:
        steps: End after so many steps; the course of the rate then depends on the steps alone.
        seconds: End after so many seconds of training, those of former runs included.
        until: End at this moment, in seconds since the epoch.
        spent: Seconds that former runs of a resumed training took.
    """

    steps: int | None = None
    seconds: float | None = None
    until: float | None = None
    spent: float = 0.0
    stopped: bool = False
    begun: float = field(default_factory=time.monotonic)

    def start(self, spent: float = 0.0) -> None:
        """Begin to count, `spent` seconds having gone into it before."""
        self.begun, self.spent = time.monotonic(), spent
        if self.until is not None:
            self.seconds = spent + max(0.1, self.until - time.time())

    @property
    def elapsed(self) -> float:
        """Seconds of training, those of former runs included."""
        return self.spent + time.monotonic() - self.begun

    def progress(self, step: int) -> float:
        """Which share of the training is done after so many steps, from 0; over at 1."""
        if self.steps is not None:
            return step / max(1, self.steps)
        return self.elapsed / (self.seconds or 0.1)

    def is_over(self, step: int) -> bool:
        """Whether no further step is to be made."""
        return self.stopped or self.progress(step) >= 1

    @contextmanager
    def stopping_on_signals(self) -> Iterator[None]:
        """Turn the first SIGINT or SIGTERM into the end after the step at hand; the next one acts as usual."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.stopped = True
            signal.signal(number, former[number])

        former: dict[int, Any] = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def rate_at(progress: float, step: int, warmup: int = 100, flat: float = 0.4) -> float:
    """The share of the highest rate: it rises over `warmup` steps, stays, and falls from `flat` on linearly to 0."""
    return max(0.0, min(1.0, (step + 1) / warmup, (1 - progress) / (1 - flat)))


def average_decay(step: int, power: float = 17.0) -> float:
    """The decay of averaged weights at a step, such that they span a twentieth of the steps so far.

    The power function of arXiv:2312.02696, eq. 4, with sigma_rel = 0.05, which needs no guess of how many steps there
    will be.
    """
    return float((1 - 1 / (step + 1)) ** power)


def say(text: str) -> None:
    """Print a line of the log, with the time."""
    print(time.strftime("%H:%M:%S"), text, flush=True)
