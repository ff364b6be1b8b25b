"""What patches on a denoiser's layers keep of the views that they see, and which views those are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from fusionkit.errors import PluginError

if TYPE_CHECKING:
    from torch import Tensor

_AT_WORK: ContextVar[tuple[int, ...]] = ContextVar("the views that a denoiser is at work on", default=())


@contextmanager
def at_work_on(numbers: Sequence[int]) -> Iterator[None]:
    """While a forward pass is made of the views with these numbers in their group."""
    before = _AT_WORK.set(tuple(numbers))
    try:
        yield
    finally:
        _AT_WORK.reset(before)


class ViewMemory:
    """What patches on layers keep of a group's views from one prediction of the group to another one.

    A patch sees a batch of views, which may be on one of several devices. What it keeps here is kept of each view, and
    given back for whatever views are predicted then, on whatever device.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], Tensor] = {}

    def keep(self, layer: str, rows: Tensor) -> None:
        """Keep a row (1, ...) of each of the p views at work, (p, ...).

        Raises:
            PluginError: They are not one a view.
        """
        numbers = _AT_WORK.get()
        if len(rows) != len(numbers):
            raise PluginError(f"{len(rows)} rows are to be kept of {len(numbers)} views; expected one a view")
        for place, number in enumerate(numbers):
            self._kept[layer, number] = rows[place : place + 1]

    def take(self, layer: str) -> Tensor:
        """The rows of the p views at work, (p, ...), which are kept no longer.

        Raises:
            PluginError: Nothing is kept of one of them.
        """
        import torch

        numbers = _AT_WORK.get()
        if missing := [number for number in numbers if (layer, number) not in self._kept]:
            raise PluginError(f"nothing is kept of view {missing[0]} at layer '{layer}'")
        rows = [self._kept.pop((layer, number)) for number in numbers]
        return rows[0] if len(rows) == 1 else torch.cat(rows)

    def of(self, numbers: Sequence[int]) -> dict[tuple[str, int], Tensor]:
        """What is kept of some views, by layer and number."""
        chosen = set(numbers)
        return {key: row for key, row in self._kept.items() if key[1] in chosen}

    def replace(self, numbers: Sequence[int], kept: Mapping[tuple[str, int], Tensor]) -> None:
        """Keep this of some views, and nothing else of them."""
        for key in self.of(numbers):
            del self._kept[key]
        self._kept.update(kept)
