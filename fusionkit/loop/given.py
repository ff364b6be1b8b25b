"""What a hook was given, as it was: so that a plugin that changes it in place is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fusionkit.loop.stage import Fused, Patches

if TYPE_CHECKING:
    from torch import Tensor

WHOLE = 2**18
"""Numbers of the largest tensor that is compared whole."""

# A plugin may add its own to these while the denoiser is asked.
_MAY_BE_SET = ("prompts", "controls", "image_prompts", "left_out")
# What is a tensor. Not `denoised`: `step` tells the clean estimate through the answer of `fuse`.
_OF_GROUPS, _OF_FUSED = ("weights", "noise", "latents", "prediction"), ("prediction", "noise")


class Inputs:
    """What the tensors were that a hook was given, and what its groups held.

    Tensors of up to `WHOLE` numbers are kept whole, of larger ones as many numbers, evenly spread: what is looked at
    costs no more, in time and memory, than a small canvas does.

    Args:
        what: What the values are, as errors call it, with the values.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._tensors = [
            (what, path, tensor, tensor.shape, _part(tensor).clone())
            for what, value in given.items()
            for path, tensor in tensors_in(value)
        ]
        self._held = [
            (what, path, group, vars(group).copy()) for what, value in given.items() for path, group in _groups(value)
        ]

    @property
    def bytes(self) -> int:
        """Memory of the copies."""
        return sum(before.nbytes for *_, before in self._tensors)

    def numbers(self) -> Iterator[tuple[Tensor | bool, str]]:
        """The same as `changes` for the tensors that were given, whatever holds them by now."""
        for what, path, tensor, shape, before in self._tensors:
            same = tensor.shape == shape and same_bits(_part(tensor), before)
            yield same, f"the {what}{path} in place; make a new tensor"

    def changes(self) -> Iterator[tuple[Tensor | bool, str]]:
        """For each of them whether it is as it was, and what is wrong if not."""
        yield from self.numbers()
        for what, path, group, held in self._held:
            for name, value in vars(group).items():
                if value is not held.get(name, value) and name not in _MAY_BE_SET:
                    yield False, f"the {what}{path}.{name}; answer a copy from dataclasses.replace"


def tensors_in(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in groups, fused predictions, lists and mappings, each with where it is."""
    from torch import Tensor

    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, (Patches, Fused)):
        for name in _OF_GROUPS if isinstance(value, Patches) else _OF_FUSED:
            if isinstance(part := getattr(value, name), Tensor):
                yield f"{path}.{name}", part
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            yield from tensors_in(each, f"{path}[{number}]")
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from tensors_in(each, f"{path}[{name!r}]")


def attributes(value: Any) -> dict[str, Any]:
    """What each group holds, by where it is; what `fuse` answers is made anew at each step and may be filled in."""
    return {f"{path}.{name}": held for path, group in _groups(value) for name, held in vars(group).items()}


def _groups(value: Any) -> list[tuple[str, Patches]]:
    if isinstance(value, Patches):
        return [("[0]", value)]
    groups = value if isinstance(value, (list, tuple)) else []
    return [(f"[{number}]", group) for number, group in enumerate(groups) if isinstance(group, Patches)]


def _part(tensor: Tensor) -> Tensor:
    """What is looked at of a tensor: itself, or some of its numbers."""
    every = tensor.numel() // WHOLE
    if every < 2:
        return tensor
    if tensor.is_contiguous():
        return tensor.flatten()[:: every | 1]  # odd, so that it does not always hit the same columns
    longest = max(range(tensor.ndim), key=lambda axis: tensor.shape[axis])
    return tensor[(slice(None),) * longest + (slice(None, None, every),)]


def same_bits(tensor: Tensor, before: Tensor) -> Tensor | bool:
    """Whether two tensors are one bit for bit, so that NaN is equal to itself."""
    import torch

    if tensor.shape != before.shape or tensor.dtype != before.dtype:
        return False
    if tensor.dtype == torch.float32:
        tensor, before = tensor.view(torch.int32), before.view(torch.int32)
    # A GPU would have to be waited for; a CPU is done sooner.
    return torch.equal(tensor, before) if tensor.device.type == "cpu" else (tensor == before).all()
