"""Where on a canvas a picture is looked at: a mask in the canvas' pixels, which the model cuts for each view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from fusionkit_regions.masks import of_box, of_picture
from fusionkit_regions.places import in_shares, spans_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from fusionkit import Stage


def mask_of(stage: Stage, box: Sequence[float] | None, mask: Path | None, soft_border: float) -> Tensor | None:
    """A mask of the stage's canvas, (1, 1, H, W) in pixels, 0..1; None is everywhere.

    Args:
        stage: The stage.
        box: Left, top, width and height, in shares of the finished picture or its pixels.
        mask: In its place, a painted mask, which is stretched to the canvas.
        soft_border: Pixels of the finished picture over which it fades, half of them on either side.
    """
    if box is None and mask is None:
        return None
    width, height = stage.frame
    canvas, whole = (height, width), stage.recipe.size
    soft = soft_border * height / whole[1], soft_border * width / whole[0]
    if box is not None:
        found = of_box(*spans_on(canvas, stage.wrap, in_shares(box, whole)), 0.0, soft)
    else:
        assert mask is not None
        found = of_picture(mask, canvas, soft, stage.wrap)
    # Beyond the picture the canvas goes on as it ends.
    across, down = (side - own for side, own in zip(stage.plan.size, stage.frame, strict=True))
    return torch.from_numpy(np.pad(found, ((0, down), (0, across)), mode="edge"))[None, None].to(stage.device)
