"""What a run is after a step: all that its next step needs, taken and put back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from fusionkit.errors import FusionError, PluginError
from fusionkit.keeping import Kept, Shelf, declared
from fusionkit.runs.checkpoints.annotations import records_in, unwritable

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.denoise import Begun
    from fusionkit.loop.stage import Stage
    from fusionkit.plugin import Plugin
    from fusionkit.runs.checkpoints.packing import Packer, Unpacker
    from fusionkit.runs.plan import RunPlan


@dataclass(frozen=True)
class Snapshot:
    """A run after a step.

    Args:
        stage: The stage's index.
        done: Steps of this stage that are done.
        content: The packed canvas, scheduler and plugins' values.
        tensors: What `content` refers to; copies.
    """

    stage: int
    done: int
    content: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def take(stage: Stage, done: int, latents: Tensor, plugins: Sequence[Plugin]) -> Snapshot:
    """A snapshot of a stage after so many steps.

    Raises:
        PluginError: A plugin keeps what can't be written; says which, and what.
    """
    from fusionkit.runs.checkpoints.packing import Packer

    packer = Packer(latents.device, stage.room)
    content = {
        "latents": packer.pack(latents),
        "previous": packer.pack(stage.previous),
        "scheduler": packer.pack(dict(stage.scheduler.state())),
        "plugins": list(_packed(stage, plugins, packer)),
    }
    return Snapshot(stage.index, done, content, packer.tensors)


def put_back(snapshot: Snapshot, plan: RunPlan, device: Any) -> Begun:
    """Let a fresh plan be as the run was; the stages before are left as they are.

    Args:
        snapshot: From `take`.
        plan: The same run, planned again.
        device: Of the canvas.

    Raises:
        FusionError: The snapshot does not fit the plan.
    """
    import torch

    from fusionkit.loop.denoise import Begun
    from fusionkit.runs.checkpoints.packing import Unpacker, Unreadable

    stage = plan.stages[snapshot.stage]
    unpacker = Unpacker(snapshot.tensors, torch.device(device))
    try:
        latents, previous = (unpacker.unpack(snapshot.content[name]) for name in ("latents", "previous"))
        if tuple(latents.shape) != stage.shape or not 0 < snapshot.done <= len(stage.steps):
            raise Unreadable("its canvas is another one")
        stage.scheduler.restore(unpacker.unpack(snapshot.content["scheduler"]))
        for packed in snapshot.content["plugins"]:
            _unpacked(packed, stage, plan.recipe.plugins, unpacker)
    except (Unreadable, KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise FusionError(f"does not fit this run: {' '.join(str(error).split())}") from error
    return Begun(snapshot.stage, snapshot.done, latents, previous)


def _packed(stage: Stage, plugins: Sequence[Plugin], packer: Packer) -> Iterator[dict[str, Any]]:
    from fusionkit.runs.checkpoints.packing import Unwritable

    for number, plugin in enumerate(plugins):
        for each in declared(type(plugin)):
            if each.scope == "cache" or (plugin, each.name) not in _shelf(stage, each):
                continue
            value = _shelf(stage, each)[plugin, each.name]
            try:
                packed = packer.pack(value, each.name, _records(each))
            except Unwritable as error:
                raise PluginError(_not_to_be_written(plugin.plugin_name, str(error))) from error
            yield {"plugin": number, "name": each.name, "value": packed}


def _unpacked(packed: Mapping[str, Any], stage: Stage, plugins: Sequence[Plugin], unpacker: Unpacker) -> None:
    from fusionkit.runs.checkpoints.packing import Unreadable

    plugin = plugins[packed["plugin"]]
    each = next((each for each in declared(type(plugin)) if each.name == packed["name"]), None)
    if each is None:
        raise Unreadable(f"plugin '{plugin.plugin_name}' keeps no '{packed['name']}'")
    try:
        _shelf(stage, each)[plugin, each.name] = unpacker.unpack(packed["value"], _records(each))
    except Unreadable as error:
        raise Unreadable(f"what plugin '{plugin.plugin_name}' keeps as '{each.name}': {error}") from error


def keeping_problems(plugin: type[Plugin]) -> list[str]:
    """What of a plugin's declarations can't be written, a line each; by their types, before any run."""
    return [
        _not_to_be_written(plugin.plugin_name, line)
        for each in declared(plugin)
        if each.scope != "cache"
        for line in unwritable(each.kind, each.name)
    ]


def _not_to_be_written(plugin: str, what: str) -> str:
    return (
        f"plugin '{plugin}' keeps what no checkpoint holds: {what}; keep tensors, numbers, texts, and lists, tuples, "
        f"mappings and dataclasses of those, or declare it as a StageCache"
    )


def _shelf(stage: Stage, each: Kept[Any]) -> Shelf:
    shelf: Shelf = getattr(stage, each.scope)
    return shelf


@cache
def _records(each: Kept[Any]) -> Mapping[str, type]:
    found = records_in(each.kind)
    for part in each.parts:
        records_in(part, found)
    return found
