"""ControlNets that fit the tiny checkpoints, with seeded random weights, and their hints."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from tiny_models import CHECKPOINTS
from torch import Tensor

from fusionkit.testing.tiny import controlnet_for


@lru_cache
def tiny_controlnet(kind: str, seed: int = 0) -> Any:
    """A ControlNet for a tiny checkpoint, that steers."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(CHECKPOINTS / f"tiny-{kind}" / "unet")
    return controlnet_for(unet, seed)


def random_hint(size: tuple[int, int], seed: int = 0) -> Tensor:
    """A hint (1, 3, H, W) of 0 and 1, in blocks of 4 pixels; `size` is (width, height)."""
    width, height = size
    blocks = torch.rand(1, 1, height // 4, width // 4, generator=torch.Generator().manual_seed(seed)) > 0.5
    return blocks.float().repeat_interleave(4, -1).repeat_interleave(4, -2).expand(1, 3, -1, -1)
