"""Where ElasticDiffusion looks: small windows with what is around them, and pixels that make a small picture."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING

from fusionkit import View
from fusionkit.loop.views import Wrap

if TYPE_CHECKING:
    from torch import Tensor

Span = tuple[int, int, int, int]
"""Of a window along one axis: where it begins and ends, and where what the model sees of it begins and ends."""


def spans(length: int, native: int, ring: bool = False) -> list[Span]:
    """Windows of half the native side along an axis, each seen with a quarter more on both sides.

    At an edge what is missing on one side is seen at the other. An axis no longer than the native side is one window.

    Args:
        length: Of the axis, in latent pixels.
        native: The side that the model was trained at.
        ring: Whether the axis is a ring, which has no edges.
    """
    if length <= native:
        return [(0, length, 0, length)]
    side = max(1, native // 2)
    beyond, quarter = native - side, native // 4
    if ring:
        begins = range(0, length, side)
        return [(start, start + side, start - quarter, start - quarter + native) for start in begins]
    found = []
    for start in [*range(0, length - side, side), length - side]:
        end = start + side
        if start < quarter:
            found.append((start, end, 0, min(length, end + beyond - start)))
        else:
            high = min(length, end + quarter)
            found.append((start, end, max(0, start - (beyond - (high - end))), high))
    return found


def local_windows(canvas: tuple[int, int], native: tuple[int, int], wrap: Wrap) -> tuple[tuple[View, ...], Tensor]:
    """What the model sees, and what of it counts, (P, 1, h, w): 1 in the windows themselves, of which the first wins.

    Args:
        canvas: (H, W) in latent pixels.
        native: The sides that the model was trained at, likewise.
        wrap: Along which axes the canvas is a ring.
    """
    import torch

    axes = [spans(length, side, axis in wrap) for axis, length, side in zip("yx", canvas, native, strict=True)]
    free, views, weights = torch.ones(canvas), [], []
    for rows, columns in product(*axes):
        here = torch.zeros(canvas)
        inside = torch.meshgrid(
            *(torch.arange(*span[:2]) % length for span, length in zip((rows, columns), canvas, strict=True)),
            indexing="ij",
        )
        here[inside] = free[inside]
        free[inside] = 0
        seen = torch.meshgrid(
            *(torch.arange(*span[2:]) % length for span, length in zip((rows, columns), canvas, strict=True)),
            indexing="ij",
        )
        views.append(View(rows[2], columns[2], rows[3] - rows[2], columns[3] - columns[2], wrap=wrap))
        weights.append(here[seen][None])
    return tuple(views), torch.stack(weights)


def candidates(length: int, low: int) -> list[tuple[int, int]]:
    """Of each of `low` pixels of a small picture the two pixels of the canvas that it may be taken from.

    The axis is doubled, and of each q pixels of it p are kept, in pairs, with p / q about low / length.

    Args:
        length: Of the canvas along an axis.
        low: Of the small picture, at most as long.
    """
    share = Fraction(low, length).limit_denominator(16)
    p, q = 2 * share.numerator, 2 * share.denominator
    pairs = (q - p) // 2
    apart = q // (pairs + 1)
    apart += apart % 2
    dropped = {place for number in range(1, pairs + 1) for place in (number * apart - 1, number * apart)}
    whole = 2 * length // q * q
    kept = [place // 2 for place in range(whole) if place % q not in dropped]
    kept += [place // 2 for place in range(whole, 2 * length)]
    kept = (kept + [length - 1] * (2 * low))[: 2 * low]
    return list(zip(kept[::2], kept[1::2], strict=True))


def nearest(values: Tensor, size: Sequence[int]) -> Tensor:
    """Values (..., h, w) at another size, each place floor(i h / H) of what there was."""
    import torch

    for dim, length in ((-2, size[0]), (-1, size[1])):
        places = torch.arange(length, device=values.device) * values.shape[dim] // length
        values = values.index_select(dim, places)
    return values
