"""What has travelled, as a worker has it: a stage, and what steers the views of a group."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NoReturn

from torch import Tensor

from fusionkit.distributed.values import Group, Look, RemoteLayers, RemoteNet, Shared, StageOf, Steer
from fusionkit.distributed.worker import LOADING, Worker
from fusionkit.errors import PluginError
from fusionkit.loop.patches import Control, ImagePrompt, Masked
from fusionkit.loop.stage import Stage


class Nowhere(dict[Any, Any]):
    """In place of what plugins keep of a stage: it is where the loop is."""

    def __contains__(self, key: object) -> NoReturn:
        """There is nothing."""
        raise PluginError(
            "what is put on a model, or is a loss of its predictions, asks a worker for what a plugin keeps of the "
            "stage; ask for it before, in the hook"
        )

    get = __getitem__ = __setitem__ = pop = __contains__  # type: ignore[assignment]


class NoScheduler:
    """In place of a stage's scheduler, where none is needed."""

    def __getattr__(self, name: str) -> NoReturn:
        """It is where the loop is."""
        raise PluginError(f"a worker is asked for its scheduler's '{name}'; the scheduler is where the canvas is")


def stage_of(worker: Worker, weights: Shared, shared: Shared, scheduler: Any = None) -> Stage:
    """A stage as a worker has it, with the worker's own models.

    Args:
        worker: The worker.
        weights: The models.
        shared: What is known of the stage.
        scheduler: Its scheduler, where it is asked.
    """
    models = worker.models(weights)

    def make() -> Stage:
        given: StageOf = worker.fetch(shared)
        nowhere: Any = Nowhere()
        nothing: Any = NoScheduler()
        main = next(iter(models.values()))
        stage = Stage(
            *(given.plan, given.index, given.recipe, given.info, nothing, main),
            memory=nowhere,
            state=nowhere,
            cache=nowhere,
            infos=given.infos,
            models=models,
            finished=given.finished,
        )
        if given.masked is not None:
            masked: Masked = worker.fetch(given.masked)
            stage.masked = Masked(masked.mask.to(main.device), masked.picture.to(main.device))
        return stage

    stage = worker.keep("stages", (shared.key, weights.key), make)
    if scheduler is not None:
        stage = Stage(
            *(stage.plan, stage.index, stage.recipe, stage.info, scheduler, stage.model),
            infos=stage.infos,
            models=models,
            finished=stage.finished,
            memory=stage.memory,
            state=stage.state,
            cache=stage.cache,
        )
    return stage


def controls_of(worker: Worker, models: Mapping[str, Any], group: Group) -> tuple[Control, ...]:
    """What steers a group, with the worker's own networks; hints stay on the CPU, since views are cut out of them."""
    return tuple(Control(_net(worker, models, each), worker.fetch(each.hint), each.scale) for each in group.controls)


def _net(worker: Worker, models: Mapping[str, Any], steer: Steer) -> Any:
    if isinstance(steer.net, RemoteNet):
        with LOADING:
            return models[steer.net.model].controlnet(steer.net.info)
    # Somebody's own, which came with the group.
    device = next(iter(models.values())).device
    shared: Shared = steer.net
    return worker.keep("nets", shared.key, lambda: _on(worker.fetch(shared), device))


def _on(net: Any, device: Any) -> Any:
    """A network on a device; a copy, where it is on another one and somebody else's."""
    there = next(net.parameters(), None)
    return net if there is None or there.device == device else deepcopy(net).to(device)


def pictures_of(worker: Worker, models: Mapping[str, Any], group: Group) -> tuple[ImagePrompt, ...]:
    """What the views of a group look at, with the worker's own layers."""
    device = next(iter(models.values())).device
    return tuple(_prompt(worker, models, each, device) for each in group.pictures)


def _prompt(worker: Worker, models: Mapping[str, Any], look: Look, device: Any) -> ImagePrompt:
    if isinstance(look.layers, RemoteLayers):
        with LOADING:
            layers = models[look.layers.model].image_layers(look.layers.adapter)
    else:
        layers = worker.fetch(look.layers)

    def on_device(shared: Shared) -> Tensor:
        made: Tensor = worker.keep("pictures", shared.key, lambda: worker.fetch(shared).to(device))
        return made

    mask = None if look.mask is None else on_device(look.mask)
    return ImagePrompt(layers, on_device(look.tokens), look.scales, mask, look.part)
