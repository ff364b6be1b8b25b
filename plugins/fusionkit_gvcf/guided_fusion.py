"""Guided Fusion: a window counts most at its centre (arXiv 2412.12771)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from fusionkit import Patches, Plugin, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


# One object for each shape: the loop then knows at once that two steps have the same weights.
@lru_cache(maxsize=16)
def guidance_map(height: int, width: int) -> Tensor:
    """What each pixel of a window counts for, (1, 1, h, w): 1 at the centre, falling linearly to the corners.

    Distances are measured in half windows along each axis, so that the corners of any shape are alike; the smallest
    value, in the corners of an n x n window, is about 1/n. The reference code's map is off-centre for even sizes and
    0 in one corner, which leaves a hole in the canvas; this one is positive everywhere.
    """
    import torch

    # Plain tensors, not inference tensors, since they outlive the run.
    with torch.inference_mode(mode=False):
        y = (torch.arange(height, dtype=torch.float64) - (height - 1) / 2) / (height / 2)
        x = (torch.arange(width, dtype=torch.float64) - (width - 1) / 2) / (width / 2)
        falling = 1 - torch.hypot(y[:, None], x[None, :]) / 2**0.5
        return (falling / falling.max()).float()[None, None]


class GuidedFusion(Plugin):
    """Weight each window by its distance from the centre, so that no window ends in a hard edge (arXiv 2412.12771)."""

    @hookimpl(wrapper=True)
    def views(self) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        """Multiply the weights of windows by the guidance map; groups of another kind are left as they are."""
        groups = yield
        return [
            patches.weighted(guidance_map(*patches.size)) if patches.kind == "window" else patches for patches in groups
        ]
