"""The 5x5 kernel that does to an enlarged picture what a 3x3 kernel does to it as it was (arXiv 2310.07702)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import conv2d, interpolate

if TYPE_CHECKING:
    from torch import Tensor

ETA = 0.05
"""What it counts, in the least squares, that the wide kernel also does the same to the picture as it was."""


@lru_cache
def matrix(eta: float = ETA) -> Tensor:
    """R, (25, 9), float64: a 5x5 kernel is R times a 3x3 kernel, both flattened row by row.

    The least-squares solution, for every kernel k and every picture x of 3x3 pixels, of

        conv5(up(x)) = up(conv3(x, k))    and, each row times eta,    conv5(x) = conv3(x, k)

    where `up` enlarges 3x3 to 5x5 bilinearly, corners on corners, and beyond the border there are zeros. Both sides are
    linear in the picture and in the kernel, so that pictures and kernels of one pixel each say all.
    """
    with torch.inference_mode(mode=False), torch.no_grad():
        small, wide = (torch.eye(side * side, dtype=torch.float64).reshape(-1, 1, side, side) for side in (3, 5))
        answer = conv2d(small, small, padding=1)  # (9 pictures, 9 kernels, 3, 3)
        known = [_rows(_up(answer)), eta * _rows(answer)]
        unknown = [_rows(conv2d(_up(small), wide, padding=2)), eta * _rows(conv2d(small, wide, padding=2))]
        found: Tensor = torch.linalg.lstsq(torch.cat(unknown), torch.cat(known), driver="gelsd").solution
        return found


def dispersed(weight: Tensor) -> Tensor:
    """Kernels (out, in, 3, 3) as kernels (out, in, 5, 5); those of another size as they are."""
    if tuple(weight.shape[-2:]) != (3, 3):
        return weight
    wide: Tensor = weight.flatten(2).float() @ matrix().T.to(weight.device, torch.float32)
    return wide.reshape(*weight.shape[:2], 5, 5).to(weight.dtype)


def _up(x: Tensor) -> Tensor:
    return interpolate(x, size=(5, 5), mode="bilinear", align_corners=True)


def _rows(answers: Tensor) -> Tensor:
    """(pictures, kernels, h, w) as a row for each pixel of each picture, a column for each kernel."""
    return answers.permute(0, 2, 3, 1).reshape(-1, answers.shape[1])
