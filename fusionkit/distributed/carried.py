"""Plugins' functions on their way to a worker: closures, and what they hold, as copies that are the worker's own."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionkit.errors import PluginError
from fusionkit.loop.patches import Control, ImagePrompt, Patches
from fusionkit.loop.stage import Stage
from fusionkit.loop.view_memory import ViewMemory
from fusionkit.models.adapters.predicting import Predicting

if TYPE_CHECKING:
    from fusionkit.loop.model import Model

Rows = Mapping[tuple[str, int], Tensor]
"""What a `ViewMemory` keeps of some views."""


@dataclass(frozen=True)
class Carried:
    """A value of plugins, without what a worker has itself: the stage, and the models.

    Args:
        content: The value, pickled.
        tensors: Its tensors, in the order in which it names them.
        memories: Its memories of views, likewise; what they keep travels with each batch.
    """

    content: bytes = field(repr=False)
    tensors: tuple[Tensor, ...] = field(repr=False)
    memories: tuple[ViewMemory, ...] = field(repr=False, default=())

    def kept(self) -> Carried:
        """With copies of its tensors, which nobody changes."""
        return replace(self, tensors=tuple(each.clone() for each in self.tensors))

    def alone(self) -> Carried:
        """Without the memories, for a value that is shared."""
        return replace(self, memories=())


def carried(value: Any, models: Mapping[str, Any]) -> Carried:
    """A value ready to travel.

    Args:
        value: Functions of plugins, and whatever they hold.
        models: The models by name, which it may hold as well.

    Raises:
        PluginError: Something of it can't be pickled.
    """
    packer = _packer(models)
    try:
        packer.dump(value)
    except PluginError:
        raise
    except Exception as error:
        raise PluginError(f"what is put on a model can't be sent to another device: {error}") from error
    return Carried(packer.stream.getvalue(), tuple(packer.tensors), tuple(packer.memories))


def unpacked(
    given: Carried, stage: Stage, models: Mapping[str, Model], device: torch.device, memories: Sequence[ViewMemory] = ()
) -> Any:
    """A copy of a carried value, whose tensors are on a device.

    Args:
        given: The value.
        stage: In place of the stage that it holds.
        models: In place of the models.
        device: Where tensors go.
        memories: In place of its memories of views.
    """
    tensors = [each.to(device, copy=True) for each in given.tensors]
    return _Unpacker(io.BytesIO(given.content), stage, models, tensors, memories).load()


def check_unchanged(given: Carried, value: Any, models: Mapping[str, Any], whose: str) -> None:
    """Check that a copy is as it was, where what is changed of it would be lost.

    Raises:
        PluginError: It is not.
    """
    now = carried(value, models)
    if now.content == given.content and all(map(_same, now.tensors, given.tensors)):
        return
    raise PluginError(
        f"{whose}: what it put on the model keeps something from one forward pass to another, which would be lost on "
        "another device; keep it in a fusionkit.layers.ViewMemory, or within one pass in a PassMemory"
    )


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.eq(one.cpu(), other.cpu()).logical_or(one.cpu() != one.cpu()).all())


def _packer(models: Mapping[str, Any]) -> Any:
    import cloudpickle  # type: ignore[import-untyped]

    class Packer(cloudpickle.Pickler):  # type: ignore[misc]
        """Leaves out what a worker has itself."""

        def __init__(self) -> None:
            self.stream = io.BytesIO()
            super().__init__(self.stream, protocol=pickle.HIGHEST_PROTOCOL)
            self.tensors: list[Tensor] = []
            self.memories: list[ViewMemory] = []
            self._known: dict[int, tuple[str, int]] = {}

        def persistent_id(self, value: Any) -> Any:
            """What stands for a value that does not travel in the content."""
            if isinstance(value, Stage):
                return "stage", 0
            if isinstance(value, Predicting):
                name = next((name for name, each in models.items() if each is value), None)
                return None if name is None else ("model", name)
            if isinstance(value, Tensor) and type(value) is Tensor:
                return self._numbered("tensor", value, self.tensors)
            if isinstance(value, ViewMemory):
                return self._numbered("memory", value, self.memories)
            return None

        def reducer_override(self, value: Any) -> Any:
            """A group of views without its numbers, and what steers it without its weights."""
            if isinstance(value, Patches):
                steered = tuple(each.scale for each in value.controls)
                shown = tuple((dict(each.scales), each.part) for each in value.image_prompts)
                own = value.views, value.kind, value.share, value.prompts, value.left_out, value.told
                return _bare, (*own, steered, shown)
            return super().reducer_override(value)

        def _numbered(self, kind: str, value: Any, those: list[Any]) -> tuple[str, int]:
            if id(value) not in self._known:
                self._known[id(value)] = kind, len(those)
                those.append(value)
            return self._known[id(value)]

    return Packer()


def _bare(
    views: Any, kind: str, share: float, prompts: Any, left_out: Any, told: Any, controls: Any, pictures: Any
) -> Patches:
    """A group as a patch on a layer may look at it: which views, and whether something steers them."""
    nothing: Any = None
    return Patches(
        views,
        kind,
        share,
        prompts=prompts,
        left_out=left_out,
        told=told,
        controls=tuple(Control(nothing, nothing, scale) for scale in controls),
        image_prompts=tuple(ImagePrompt({}, nothing, scales, part=part) for scales, part in pictures),
    )


class _Unpacker(pickle.Unpickler):
    def __init__(
        self,
        stream: io.BytesIO,
        stage: Stage,
        models: Mapping[str, Any],
        tensors: Sequence[Tensor],
        memories: Sequence[ViewMemory],
    ) -> None:
        super().__init__(stream)
        self._given: dict[str, Any] = {"stage": [stage], "model": models, "tensor": tensors, "memory": memories}

    def persistent_load(self, named: Any) -> Any:
        """What a worker has in place of what did not travel."""
        kind, which = named
        return self._given[kind][which]
