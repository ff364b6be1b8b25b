"""What a hook was given, as it was: so that a plugin that changes it in place is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fusionkit.stage import Fused, Patches

if TYPE_CHECKING:
    from torch import Tensor

# A plugin may add its own to these while the denoiser is asked.
_MAY_BE_SET = ("prompts", "controls")
# What is a tensor. Not `denoised`: `step` tells the clean estimate through the answer of `fuse`.
_OF_GROUPS, _OF_FUSED = ("weights", "noise", "latents", "prediction"), ("prediction", "noise")


class Inputs:
    """Copies of the tensors that a hook was given, and what its groups held.

    Args:
        what: What the values are, as errors call it, with the values.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._tensors = [(f"{what}{path}", tensor, tensor.clone()) for what, path, tensor in _tensors(given)]
        self._held = _held(given)

    def changes(self) -> Iterator[tuple[Tensor | bool, str]]:
        """For each of them whether it is as it was, and what is wrong if not."""
        for what, tensor, before in self._tensors:
            yield _same(tensor, before), f"the {what} in place; make a new tensor"
        for what, held in _held(self._given).items():
            if held is not self._held.get(what, held):
                yield False, f"the {what}; answer a copy from dataclasses.replace"


def tensors_in(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in groups, fused predictions, lists and mappings, each with where it is."""
    from torch import Tensor

    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, (Patches, Fused)):
        for name in _OF_GROUPS if isinstance(value, Patches) else _OF_FUSED:
            if (tensor := getattr(value, name)) is not None:
                yield from tensors_in(tensor, f"{path}.{name}")
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            yield from tensors_in(each, f"{path}[{number}]")
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from tensors_in(each, f"{path}[{name!r}]")


def attributes(value: Any) -> dict[str, Any]:
    """What each group holds, by where it is; what `fuse` answers is made anew at each step and may be filled in."""
    groups = value if isinstance(value, (list, tuple)) else [value]
    return {
        f"[{number}].{each.name}": getattr(group, each.name)
        for number, group in enumerate(groups)
        if isinstance(group, Patches)
        for each in fields(group)
    }


def _tensors(given: Mapping[str, Any]) -> Iterator[tuple[str, str, Tensor]]:
    for what, value in given.items():
        for path, tensor in tensors_in(value):
            yield what, path, tensor


def _held(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{what}{path}": held
        for what, value in given.items()
        for path, held in attributes(value).items()
        if not path.endswith(_MAY_BE_SET)
    }


def _same(tensor: Tensor, before: Tensor) -> Tensor | bool:
    """Whether two tensors are one bit for bit, so that NaN is equal to itself."""
    import torch

    if tensor.shape != before.shape or tensor.dtype != before.dtype:
        return False
    if tensor.dtype.itemsize == 4:
        tensor, before = tensor.view(torch.int32), before.view(torch.int32)
    # A GPU would have to be waited for; a CPU is done sooner.
    return torch.equal(tensor, before) if tensor.device.type == "cpu" else (tensor == before).all()
