"""Patches on a denoiser's layers: what plugins put there for a while, and what is there while it works."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fusionkit.errors import ModelError, did_you_mean
from fusionkit.loop.model import LayerPatch
from fusionkit.models.attention import uncompiled

Conv2d = Callable[..., Tensor]
"""`torch.nn.functional.conv2d`, or what stands in for it."""


@dataclass(frozen=True)
class Put:
    """Patches on layers, by the layers' names, and whose they are."""

    by: str
    patches: Mapping[str, LayerPatch]


class Patches:
    """What is to be on the layers of one adapter's denoiser while that adapter predicts.

    Nothing is on the denoiser between its forward passes, so that another adapter of the same denoiser, a ControlNet
    and its user never see a patch, and nothing can be left behind.
    """

    def __init__(self) -> None:
        self._put: list[Put] = []

    @property
    def all(self) -> list[Put]:
        """What is to be on the layers now."""
        return self._put

    @contextmanager
    def put(
        self, known: Sequence[str], what: str, patches: Mapping[str, LayerPatch], by: str, *, cached: bool = False
    ) -> Iterator[None]:
        """As `Model.patched` of a model that errors call `what`.

        Args:
            known: The names of the denoiser's layers.
            what: What errors call the model.
            patches: By the layers' names.
            by: Whose they are.
            cached: Whether a step cache is on the denoiser.
        """
        there = set(known) if patches else set()
        if unknown := next((name for name in patches if name not in there), None):
            raise ModelError(f"{by}: the denoiser of {what} has no layer '{unknown}'{did_you_mean(unknown, known)}")
        if patches and cached:
            raise ModelError(f"{by}: a step cache leaves layers out, so that they can't be patched; leave out 'cache'")
        with self.instead([*(each for each in self._put if each.by != by), Put(by, dict(patches))]):
            yield

    @contextmanager
    def instead(self, those: list[Put]) -> Iterator[None]:
        """While only those are to be on the layers."""
        before, self._put = self._put, those
        try:
            yield
        finally:
            self._put = before

    @contextmanager
    def on(self, denoiser: Any) -> Iterator[None]:
        """Around a forward pass: the patches are on the denoiser's layers, and off again whatever happens.

        Where there is one, a compiled denoiser runs uncompiled, since what was compiled knows of no patch.
        """
        layers: dict[str, list[LayerPatch]] = {}
        for put in self._put:
            for name, patch in put.patches.items():
                layers.setdefault(name, []).append(patch)
        if not layers:
            yield
            return
        own = plain(denoiser)
        with ExitStack() as stack:
            stack.enter_context(uncompiled(denoiser))
            for name, patches in layers.items():
                stack.enter_context(_patched(own.get_submodule(name), patches))
            yield


def plain(denoiser: Any) -> Any:
    """A denoiser without what compiles it."""
    return getattr(denoiser, "_orig_mod", denoiser)


def layers_like(denoiser: Any, pattern: str) -> list[str]:
    """The names of a denoiser's layers that are like a pattern such as `mid_block.*`, in its order."""
    return names_like([name for name, _ in plain(denoiser).named_modules() if name], pattern)


def names_like(names: Sequence[str], pattern: str) -> list[str]:
    """Those of some names that are like a pattern."""
    return [name for name in names if fnmatchcase(name, pattern)]


@contextmanager
def _patched(layer: Any, patches: Sequence[LayerPatch]) -> Iterator[None]:
    """One layer with patches: those of kernels first, then those of convolutions, and around all of it the others.

    Only its `forward` is replaced, which keeps what offload, LoRAs and their hooks have made of it within.
    """
    own = vars(layer).get("forward")
    forward = layer.forward
    kernels = [each.kernel for each in patches if each.kernel is not None]
    convolutions = [each.convolution for each in patches if each.convolution is not None]
    if kernels or convolutions:
        forward = partial(_convolved, forward, kernels, convolutions)
    for patch in patches:
        if patch.around is not None:
            forward = partial(patch.around, forward)
    layer.forward = forward
    try:
        yield
    finally:
        if own is None:
            del layer.forward
        else:
            layer.forward = own


def _convolved(forward: Any, kernels: Sequence[Any], convolutions: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
    with _Convolutions(kernels, convolutions):
        return forward(*args, **kwargs)


class _Convolutions(TorchFunctionMode):
    """Does the convolutions of a layer otherwise; those of one pixel, such as a LoRA's second half, as they are.

    At the function and not at the module: so a weight is seen where it computes, whatever moved it there, and a LoRA's
    first half is convolved as the layer itself is, which keeps their sum what it would be with the LoRA merged.
    """

    def __init__(self, kernels: Sequence[Callable[[Tensor], Tensor]], convolutions: Sequence[Any]) -> None:
        super().__init__()
        self._kernels = kernels
        self._conv2d: Conv2d = F.conv2d
        for convolution in convolutions:
            self._conv2d = partial(convolution, self._conv2d)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Any function of torch, as it is, but for convolutions."""
        kwargs = kwargs or {}
        return self._convolve(*args, **kwargs) if func is F.conv2d else func(*args, **kwargs)

    def _convolve(
        self,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:
        if tuple(weight.shape[-2:]) == (1, 1):
            return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
        for kernel in self._kernels:
            before, weight = weight.shape[-1], kernel(weight)
            padding = _wider(padding, (weight.shape[-1] - before) // 2 * _pair(dilation)[0])
        return self._conv2d(input, weight, bias, _pair(stride), padding, _pair(dilation), groups)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _wider(padding: Any, by: int) -> Any:
    return padding if isinstance(padding, str) else tuple(each + by for each in _pair(padding))
