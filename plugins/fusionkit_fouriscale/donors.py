"""Queries and keys of one prediction, for the self-attention of another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from fusionkit import LayerPatch

if TYPE_CHECKING:
    from torch import Tensor


class Donors:
    """What layers answer while views are predicted with and without the prompt, kept of the views with it.

    Given back in the order of the views, however they are put in batches.

    Args:
        layers: Names of the layers that make queries and keys.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        self._kept: dict[str, list[Tensor]] = {layer: [] for layer in layers}

    def keeping(self) -> Mapping[str, LayerPatch]:
        """Patches for a prediction of pairs, whose first half of rows has the prompts."""
        return {layer: LayerPatch(around=partial(_keep, kept)) for layer, kept in self._kept.items()}

    def giving(self) -> Mapping[str, LayerPatch]:
        """Patches for a prediction of the same views with the prompt alone."""
        return {layer: LayerPatch(around=partial(_give, kept)) for layer, kept in self._kept.items()}


def _keep(kept: list[Tensor], forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    answer: Tensor = forward(hidden, *args, **kwargs)
    kept.append(answer[: len(answer) // 2])
    return answer


def _give(kept: list[Tensor], _: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    rows = torch.cat(kept) if len(kept) > 1 else kept[0]
    count = len(hidden)
    kept[:] = [rows[count:]]
    return rows[:count]
