"""Pipelines that are in memory, on several workers: each has a copy, as if it had loaded them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from fusionkit.distributed.distribute import distribute
from fusionkit.distributed.pool import Threads
from fusionkit.distributed.values import Shared
from fusionkit.distributed.worker import LOADING, Worker

if TYPE_CHECKING:
    from fusionkit.distributed.model import DistributedModel
    from fusionkit.loop.model import Model, ModelInfo
    from fusionkit.recipe.recipe import Recipe


class CopyingWorker(Worker):
    """A worker that copies pipelines in place of loading weights.

    Args:
        pipes: The pipelines, by the models' names.
        device: As of every worker.
        name: Likewise.
        get: Likewise.
    """

    def __init__(
        self, pipes: Mapping[str, Any], device: str, name: str, get: Callable[[Any], Any] | None = None
    ) -> None:
        super().__init__(device, name, get)
        self._pipes = pipes

    def load(self, weights: Shared) -> Mapping[str, Model]:
        """Copies; what two names share, they share of the copy, too."""
        from fusionkit.models.load import wrap_pipelines

        given = self.fetch(weights)
        options = {"vae_tiling": given.recipe.vae_tiling, "clip_skip": given.recipe.clip_skip}
        # What is copied in inference mode computes in another way, by a few last bits.
        with LOADING, torch.inference_mode(False):
            return wrap_pipelines(deepcopy(dict(self._pipes)), given.infos, **options)


def on_devices(
    pipes: Mapping[str, Any], infos: Mapping[str, ModelInfo], recipe: Recipe, devices: Sequence[str]
) -> dict[str, DistributedModel]:
    """Models of pipelines, by name, a copy on each of several devices of this process."""
    pool = Threads(devices, partial(CopyingWorker, pipes))
    return distribute(pool, recipe, infos)
