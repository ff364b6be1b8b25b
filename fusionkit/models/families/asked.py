"""What a family is asked of one forward pass: its rows, and what steers them. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.stage import Stage
    from fusionkit.loop.views import View


@dataclass(frozen=True)
class Steered:
    """What a ControlNet is asked about the rows of one forward pass.

    Args:
        net: The ControlNet, of diffusers.
        hints: Each row's part of its hint, as latents (B, C, h, w), whole tokens.
        scale: What its answer is multiplied by.
        rows: How many of the B rows have the prompt; they come first. All, where they can't be told apart.
    """

    net: Any
    hints: Tensor
    scale: float
    rows: int


@dataclass(frozen=True)
class Asked:
    """What one forward pass is asked for.

    Args:
        pipe: The pipeline.
        stage: The stage.
        views: The B rows' views.
        size: (height, width) of the views in tokens.
        scale: The guidance scale, for models that take it as an input.
        like: A tensor of the denoiser's type and on its device.
    """

    pipe: Any
    stage: Stage
    views: Sequence[View]
    size: tuple[int, int]
    scale: float
    like: Tensor
