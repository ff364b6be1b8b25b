"""A convolution that is spread, after a low-pass filter that removes what it would alias (arXiv 2403.12963)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import pad

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Filter:
    """Which frequencies a spread convolution gets.

    Args:
        base: (height, width) of the layer's features in a view of the size that the model draws well.
        weak: Whether the filter falls slowly, and keeps detail, in place of steeply.
        floor: What is kept of the frequencies beyond, 0..1.
    """

    base: tuple[float, float]
    weak: bool = False
    floor: float = 0.0


def filtered_dilation(
    dilation: float,
    low_pass: Filter | None,
    weaker: float,
    conv2d: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: Any,
    _: Any,
    groups: int,
) -> Tensor:
    """A convolution at a dilation, rounded up, of what a filter leaves of its input; padded so that the size stays.

    Args:
        dilation: Above 1. A kernel of 5x5, as a dispersed one is, reaches twice as far by itself, and gets half of it.
        low_pass: None filters nothing.
        weaker: What the kernel's dilation, not the filter's, is divided by.
        conv2d: torch's function.
        x: (B, C, h, w).
        weight: (out, C / groups, k, k), k odd.
        bias: (out,) or None.
        stride: Of the layer.
        padding: Of the layer; it becomes what keeps the size.
        groups: Of the layer.
    """
    reach = (weight.shape[-1] - 1) // 2
    if reach == 0:
        return conv2d(x, weight, bias, stride, padding, 1, groups)
    if low_pass is not None:
        x = filtered(x, low_pass, (max(dilation / stride[0], 1.0), max(dilation / stride[1], 1.0)))
    whole = ceil(max(dilation / weaker, 1.0) / reach)
    return conv2d(x, weight, bias, stride, whole * reach, whole, groups)


def filtered(x: Tensor, low_pass: Filter, scales: tuple[float, float]) -> Tensor:
    """Features (B, C, h, w) without the frequencies that 1 of `scales` (vertical, horizontal) pixels can't show.

    They are continued by zeros to a whole multiple of the layer's base size, by one factor for both sides.
    """
    height, width = x.shape[-2:]
    times = max(ceil(height / low_pass.base[0]), ceil(width / low_pass.base[1]))
    size = int(low_pass.base[0] * times), int(low_pass.base[1] * times)
    whole = pad(x.float(), (0, size[1] - width, 0, size[0] - height))
    kept = mask(size, scales, low_pass.weak, low_pass.floor).to(x.device)
    # A transform of real numbers knows one half of the frequencies; the other is its mirror image.
    real = (kept + kept.flip((0, 1)).roll((1, 1), (0, 1)))[:, : size[1] // 2 + 1] / 2
    answer: Tensor = torch.fft.irfft2(torch.fft.rfft2(whole) * real, s=size)
    return answer[..., :height, :width].to(x.dtype)


@lru_cache(maxsize=128)
def mask(size: tuple[int, int], scales: tuple[float, float], weak: bool, floor: float) -> Tensor:
    """What is kept of each frequency, (h, w), in the order of torch's transform: the product of both axes."""
    # Made once for all: also for those that ask within a gradient.
    with torch.inference_mode(mode=False), torch.no_grad():
        rows, columns = (kept(length, scale, weak, floor) for length, scale in zip(size, scales, strict=True))
        found: Tensor = torch.fft.ifftshift(torch.outer(rows, columns))
        return found


def kept(length: int, scale: float, weak: bool, floor: float) -> Tensor:
    """What is kept along an axis, (length,), from the most negative frequency to the highest.

    1 up to length / (2 scale) + 1, counted from the middle, and from there down to the floor: over an eighth of the
    length or, of the weak filter, slowly over all frequencies that are left.

    Args:
        length: Of the axis.
        scale: By how much the kernel is spread, a stride taken off.
        weak: As `Filter` has it.
        floor: As `Filter` has it.
    """
    fall = (scale - 1) * length // (2 * scale) if weak else max(length // 8, 1)
    if fall == 0:
        return torch.ones(length)
    half = length // 2
    place = torch.arange(length) - half
    # From the middle outwards 0, 1, 2, ..., on both sides.
    place = torch.where(place < 0, -place - 1, place)
    return ((1 - floor) / fall * (half / scale + 1 - place) + 1).clamp(floor, 1)
