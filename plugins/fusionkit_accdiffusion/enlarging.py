"""Pictures enlarged in pixels, as the stages of an upscaling need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from fusionkit import resized

if TYPE_CHECKING:
    from fusionkit.loop.views import Wrap


def enlarged(picture: Image.Image, size: tuple[int, int], wrap: Wrap = "") -> Image.Image:
    """A picture at (width, height), bicubically; where it is a ring along the axes `wrap` it stays one."""
    pixels = torch.from_numpy(np.array(picture.convert("RGB"), dtype=np.float32)).permute(2, 0, 1)[None]
    large = resized(pixels, (size[1], size[0]), wrap)[0].permute(1, 2, 0)
    return Image.fromarray(large.round().clamp(0, 255).to(torch.uint8).numpy())
