"""Where on a canvas a picture is looked at: a mask in the canvas' pixels, which the model cuts for each view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fusionkit_regions.masks import mask_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from fusionkit import Stage


def mask_of(stage: Stage, box: Sequence[float] | None, mask: Path | None, soft_border: float) -> Tensor | None:
    """A mask of the stage's canvas, (1, 1, H, W) in pixels, 0..1; None is everywhere.

    Args:
        stage: The stage.
        box: Left, top, width and height, in shares of the finished picture or its pixels.
        mask: In its place, a painted mask, which is stretched to the picture.
        soft_border: Pixels of the finished picture over which it fades, half of them on either side.
    """
    place = mask if box is None else box
    if place is None:
        return None
    return torch.from_numpy(mask_on(stage, place, soft_border, in_pixels=True))[None, None].to(stage.device)
