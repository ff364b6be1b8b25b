"""Canvases whose edges meet: continued beyond the edges for what looks at neighbours, and closed again afterwards."""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, Any

from fusionkit.loop.views import Wrap

if TYPE_CHECKING:
    from torch import Tensor

MARGIN = 16
"""Latent pixels by which a ring is continued at each edge while an autoencoder decodes or encodes it."""

# What interpolation looks at beyond an edge.
_REACH = 2


def continued(canvas: Tensor, wrap: Wrap, margin: int) -> Tensor:
    """A ring (..., H, W) with `margin` more pixels at each edge along the axes `wrap`, which are those that follow."""
    import torch

    for _, dim in _axes(wrap):
        places = torch.arange(-margin, canvas.shape[dim] + margin, device=canvas.device) % canvas.shape[dim]
        canvas = canvas.index_select(dim, places)
    return canvas


def closed(canvas: Tensor, wrap: Wrap, margin: int) -> Tensor:
    """The ring (..., H, W) of what was computed of a continued one, without its margins of so many pixels.

    What follows the last pixels is there twice: at the ring's beginning, and in the margin behind its end. Over half a
    margin the one fades into the other, so that the edges meet whatever was computed, in tiles as well.
    """
    import torch

    for _, dim in _axes(wrap):
        length = canvas.shape[dim] - 2 * margin
        ring = canvas.narrow(dim, margin, length)
        if not (fade := min(margin // 2, length)):
            canvas = ring
            continue
        mixed = faded(canvas.narrow(dim, margin + length, fade), ring.narrow(dim, 0, fade), dim)
        canvas = torch.cat([mixed, ring.narrow(dim, fade, length - fade)], dim)
    return canvas


def faded(beyond: Tensor, own: Tensor, dim: int) -> Tensor:
    """The beginning of a ring: what was computed behind its end fades into what was computed there, both (..., H, W).

    Args:
        beyond: Computed behind the end.
        own: Computed at the beginning.
        dim: Along which of the two last axes, counted from the end.
    """
    import torch

    fade = own.shape[dim]
    share = torch.arange(fade, device=own.device, dtype=own.dtype) / fade
    return torch.lerp(beyond, own, share.reshape(-1, *(1,) * (-dim - 1)))


def resized(canvas: Tensor, size: tuple[int, int], wrap: Wrap = "", mode: str = "bicubic") -> Tensor:
    """A canvas (N, C, H, W) interpolated to another size (H, W); a ring stays one along the axes `wrap`.

    Args:
        canvas: The canvas.
        size: Its new (height, width).
        wrap: Along which axes it is a ring.
        mode: As `torch.nn.functional.interpolate` takes it.
    """
    from torch.nn.functional import interpolate

    beyond, target = [0, 0], list(size)
    for axis, dim in _axes(wrap):
        # So many pixels that those of the new size are a whole number, and the scale stays what it is.
        unit = canvas.shape[dim] // gcd(canvas.shape[dim], size[dim])
        beyond[dim] = -(-_REACH // unit) * unit
        canvas = continued(canvas, axis, beyond[dim])
        target[dim] += 2 * (beyond[dim] * size[dim] // (canvas.shape[dim] - 2 * beyond[dim]))
    large: Tensor = interpolate(canvas, size=tuple(target), mode=mode)
    top, left = ((whole - side) // 2 for whole, side in zip(target, size, strict=True))
    return large[..., top : top + size[0], left : left + size[1]]


def _axes(wrap: Wrap) -> list[tuple[Any, int]]:
    """Each axis of a ring, as `wrap` writes it, with the number of its dimension from the end."""
    return [(axis, dim) for axis, dim in (("y", -2), ("x", -1)) if axis in wrap]
