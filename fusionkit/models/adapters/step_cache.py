"""What a step cache on a transformer keeps: for each batch of views apart, and for no other views."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import ref

from torch import Tensor


class StepCache:
    """Tells diffusers' caches which call continues which: those of the same views, prompts' halves and stage.

    Without a cache it does nothing. What was kept is dropped where a stage begins, and where views have moved since the
    step before, as jitter makes them: nothing could be used again, and it would pile up.
    """

    def __init__(self) -> None:
        self._stage: Any = lambda: None
        self._known: set[Hashable] = set()
        self._began: float | None = None

    @contextmanager
    def step(self, denoiser: Any, stage: Any, key: Hashable, timestep: Tensor) -> Iterator[None]:
        """Around a call of the denoiser.

        Args:
            denoiser: The transformer.
            stage: The stage.
            key: What the rows of this call are.
            timestep: The step's, (B,).
        """
        context = getattr(denoiser, "cache_context", None)
        if context is None:
            yield
            return
        if denoiser.is_cache_enabled:
            self._forget(denoiser, stage, key, float(timestep.flatten()[0]))
        with context(str(hash(key))):
            yield

    def _forget(self, denoiser: Any, stage: Any, key: Hashable, time: float) -> None:
        other = self._stage() is not stage
        if other or (key not in self._known and time != self._began):
            denoiser._reset_stateful_cache()
            self._stage, self._known, self._began = ref(stage), set(), time
        self._known.add(key)
