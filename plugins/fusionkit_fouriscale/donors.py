"""Queries and keys of one prediction, for the self-attention of another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from fusionkit import LayerPatch
from fusionkit.layers import ViewMemory

if TYPE_CHECKING:
    from torch import Tensor


class Donors:
    """What layers answer while views are predicted with and without the prompt, kept of the views with it.

    Args:
        layers: Names of the layers that make queries and keys.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        self._layers, self._memory = layers, ViewMemory()

    def keeping(self) -> Mapping[str, LayerPatch]:
        """Patches for a prediction of pairs, whose first half of rows has the prompts."""
        return {layer: LayerPatch(around=partial(_keep, self._memory, layer)) for layer in self._layers}

    def giving(self) -> Mapping[str, LayerPatch]:
        """Patches for a prediction of the same views with the prompt alone."""
        return {layer: LayerPatch(around=partial(_give, self._memory, layer)) for layer in self._layers}


def _keep(memory: ViewMemory, layer: str, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    answer: Tensor = forward(hidden, *args, **kwargs)
    memory.keep(layer, answer[: len(answer) // 2])
    return answer


def _give(memory: ViewMemory, layer: str, *_: Any, **__: Any) -> Tensor:
    return memory.take(layer)
