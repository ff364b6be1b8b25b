"""What a run has cost so far, over all of its attempts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusionkit.loop.model import Model


@dataclass(frozen=True)
class Spent:
    """The cost of the denoising.

    Args:
        seconds: Time, without what was done and lost.
        forward_seconds: The part of it in the denoisers.
        forward_passes: Views that went through them.
        batch_size: Most views that went through together, with and without the prompt as one.
    """

    seconds: float = 0.0
    forward_seconds: float = 0.0
    forward_passes: int = 0
    batch_size: int = 0


class Meter:
    """Measures from now on, and adds what was spent before.

    Args:
        models: The models by name.
        before: Of earlier attempts, as far as what they did is kept.
    """

    def __init__(self, models: Mapping[str, Model], before: Spent) -> None:
        self._models = list(models.values())
        self._before = before
        for each in self._models:
            each.largest_batch = 0
        self._at_first = self._in_models()
        self._began = time.perf_counter()

    def spent(self) -> Spent:
        """What has been spent by now."""
        (passes, forward), (passes_first, forward_first) = self._in_models(), self._at_first
        return Spent(
            self._before.seconds + time.perf_counter() - self._began,
            self._before.forward_seconds + forward - forward_first,
            self._before.forward_passes + passes - passes_first,
            max(self._before.batch_size, *(each.largest_batch for each in self._models)),
        )

    def _in_models(self) -> tuple[int, float]:
        return sum(each.forward_passes for each in self._models), sum(each.forward_seconds for each in self._models)
