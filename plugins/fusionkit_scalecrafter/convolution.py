"""A convolution whose kernel is spread by any factor (arXiv 2310.07702)."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING, Any

from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from torch import Tensor


def re_dilated(
    factor: float,
    conv2d: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: Any,
    dilation: tuple[int, int],
    groups: int,
    whole: bool = False,
) -> Tensor:
    """A convolution that reaches `factor` times as far, to the nearest pixel of what it would answer.

    With D = ceil(factor): the input is stretched by D / factor, convolved at dilation D, and brought back. A kernel of
    5x5, as a dispersed one is, reaches twice as far by itself: it is spread by half the factor.

    Args:
        factor: 1 or more.
        conv2d: torch's function.
        x: (B, C, h, w).
        weight: (out, C / groups, k, k), k odd.
        bias: (out,) or None.
        stride: Of the layer.
        padding: Of the layer; it becomes what keeps the size.
        dilation: Of the layer, 1.
        groups: Of the layer.
        whole: Whether half a row or column of an odd side counts as one, as it does without re-dilation.

    Returns:
        (B, out, h / stride, w / stride), rounded down, or up where `whole` says so.
    """
    reach = (weight.shape[-1] - 1) // 2
    if reach == 0:
        return conv2d(x, weight, bias, stride, padding, dilation, groups)
    factor = factor / reach
    spread = ceil(factor)
    height, width = x.shape[-2:]
    stretched = _resized(x, (round(height * spread / factor), round(width * spread / factor)))
    answer = conv2d(stretched, weight, bias, stride, spread * reach, spread, groups)
    up = (stride[0] - 1, stride[1] - 1) if whole else (0, 0)
    return _resized(answer, (max(1, (height + up[0]) // stride[0]), max(1, (width + up[1]) // stride[1])))


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(x.shape[-2:]) == size:
        return x
    return interpolate(x, size=size, mode="bilinear", align_corners=False)
