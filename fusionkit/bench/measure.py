"""Clocks and memory: where the seconds of a run go, and how many bytes it needs at its peak."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from fusionkit.loop.model import Model

FORWARD, REST = "forward-passes", "everything-else"
# Seconds between two looks at the memory, where the system does not keep the peak itself.
_OFTEN = 0.005


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has computed what it was asked for: it answers before."""
    import torch

    if device.type == "mps":
        torch.mps.synchronize()
    elif device.type in ("cuda", "xpu"):
        getattr(torch, device.type).synchronize(device)


class Stopwatch:
    """Takes the time of a run apart: every moment counts for exactly one part, so that the parts add up to the whole.

    Parts may lie within each other; a moment counts for the innermost one. What belongs to no part counts for `REST`.
    On a GPU each boundary waits until everything before it is computed.

    Args:
        device: Where the run computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._models: tuple[Model, ...] = ()
        self._open = [REST]
        self._since = self._forward = 0.0

    def __enter__(self) -> Stopwatch:
        """Start."""
        self._since = self._now()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop."""
        self._lap()

    @property
    def total(self) -> float:
        """Seconds of all parts."""
        return sum(self.seconds.values())

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What happens in this block counts for a part, but for the parts within it."""
        self._lap()
        self._open.append(name)
        try:
            yield
        finally:
            self._lap()
            self._open.pop()

    def follow(self, models: Iterable[Model]) -> None:
        """From here on, the time that models spend in their denoisers, as they tell, counts for `FORWARD`."""
        self._lap()
        self._models = tuple(models)
        self._forward = self._in_models()

    def between(self, name: str) -> None:
        """From here on, what lies outside of all blocks counts for this part."""
        self._lap()
        self._open[0] = name

    def _lap(self) -> None:
        now, forward = self._now(), self._in_models()
        passed, in_models = now - self._since, forward - self._forward
        for name, seconds in ((self._open[-1], passed - in_models), (FORWARD, in_models)):
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self._since, self._forward = now, forward

    def _now(self) -> float:
        synchronise(self._device)
        return perf_counter()

    def _in_models(self) -> float:
        return sum(model.forward_seconds for model in self._models)


@dataclass
class Memory:
    """Bytes in use, known when the block of `peak_memory` has ended.

    Args:
        before: What was in use when the block began: weights, and on a CPU Python and its libraries too.
        peak: The most that was in use at one time within the block.
    """

    before: int = 0
    peak: int = field(default=0)

    @property
    def growth(self) -> int:
        """What the block needed at its peak beyond what was there before."""
        return max(0, self.peak - self.before)


@contextmanager
def peak_memory(device: torch.device | str = "cpu") -> Iterator[Memory]:
    """The most memory that is in use within a block.

    On CUDA it is what torch has allocated for tensors (`torch.cuda.max_memory_allocated`). Elsewhere it is the memory
    of this process that is resident: on Linux the peak that the kernel keeps, set back when the block begins; on other
    systems, where nothing can set it back, the largest of what psutil tells 200 times a second. Memory that was freed
    and not yet given back to the system is given back first, so that a second run is charged for what the first one is.

    Args:
        device: Where the block computes.
    """
    import torch

    device = torch.device(device)
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        memory = Memory(torch.cuda.memory_allocated(device))
        try:
            yield memory
        finally:
            torch.cuda.synchronize(device)
            memory.peak = torch.cuda.max_memory_allocated(device)
        return
    _give_back()
    memory = Memory(_resident())
    peak = _kernel_peak() or _sampled_peak()
    try:
        yield memory
    finally:
        memory.peak = max(memory.before, peak())


@contextmanager
def quick_collections() -> Iterator[None]:
    """Within the block, Python's garbage collector looks at new objects alone, not at those of all libraries.

    `peak_memory` collects before each run, which would otherwise take longer than a small run itself.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _give_back() -> None:
    """Return to the system what glibc keeps of freed memory; other libraries of C keep less."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def _kernel_peak() -> Callable[[], int] | None:
    """Asks the kernel for the peak since now; None where it keeps none, or none that can be set back."""
    status = Path("/proc/self/status")
    try:
        Path("/proc/self/clear_refs").write_text("5")
        _high_water(status)
    except (OSError, StopIteration):
        return None
    return lambda: _high_water(status)


def _high_water(status: Path) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _sampled_peak() -> Callable[[], int]:
    """Looks at the memory in a thread from now on, until it is asked for the most that it saw."""
    seen, done = [_resident()], threading.Event()

    def look() -> None:
        while not done.wait(_OFTEN):
            seen[0] = max(seen[0], _resident())

    thread = threading.Thread(target=look, name="peak memory", daemon=True)
    thread.start()

    def peak() -> int:
        done.set()
        thread.join()
        return max(seen[0], _resident())

    return peak
