"""Where a picture is drawn anew: a box or a mask picture, with a soft border, in pixels and in latent pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.pictures.picture import open_picture
from fusionkit_regions.parts import in_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit import Stage
    from fusionkit.loop.views import Wrap

# Of a mask picture: what is brighter is drawn anew, as in diffusers.
_HALF = 127


@dataclass(frozen=True)
class Mask:
    """Where a canvas is drawn anew.

    Args:
        pixels: A picture of mode L, of the canvas' size in pixels: 255 inside, 0 where all stays, and between in the
            soft border.
        latents: The same by latent pixels, (1, 1, H, W), 0..1: of each the most of its pixels.
    """

    pixels: Image = field(repr=False)
    latents: Tensor = field(repr=False)


def edges_of(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box's left, top, right and bottom edges in whole pixels of a picture, however it is written.

    Args:
        box: Left, top, width and height, in pixels or in shares of the picture.
        size: (width, height) of the picture.
    """
    width, height = (1, 1) if in_pixels(tuple(box)) else size
    left, top, across, down = box
    return round(left * width), round(top * height), round((left + across) * width), round((top + down) * height)


def region_of(size: tuple[int, int], box: Sequence[float] | None, picture: Path | None) -> NDArray[np.bool_]:
    """Where a picture is drawn anew, (height, width) booleans, without a border.

    Args:
        size: (width, height) of the picture.
        box: Left, top, width and height, in its pixels or in shares of it.
        picture: In place of the box: a mask picture of the same size.

    Raises:
        PictureError: The mask picture can't be used.
    """
    import numpy as np

    if picture is not None:
        return np.asarray(open_picture(picture).convert("L")) > _HALF
    assert box is not None, "one of both is given"
    left, top, right, bottom = edges_of(box, size)
    region = np.zeros((size[1], size[0]), bool)
    region[max(0, top) : bottom, max(0, left) : right] = True
    return region


def softened(region: NDArray[np.bool_], softness: int, wrap: Wrap = "") -> NDArray[np.float32]:
    """A region with a border around it: 1 inside, and 1 - d / (softness + 1) at a distance of d pixels from it.

    Args:
        region: (height, width).
        softness: Width of the border, in pixels.
        wrap: Along which axes the picture's edges meet.
    """
    import numpy as np
    from scipy.ndimage import distance_transform_edt

    above, before = (softness if axis in wrap else 0 for axis in "yx")
    around = np.pad(region, ((above, above), (before, before)), mode="wrap")
    if not around.any():
        return np.zeros(region.shape, np.float32)
    away = distance_transform_edt(~around)[above : above + region.shape[0], before : before + region.shape[1]]
    found: NDArray[np.float32] = np.clip(1 - away / (softness + 1), 0, 1).astype(np.float32)
    return found


def mask_on(soft: NDArray[np.float32], stage: Stage) -> Mask:
    """A picture's mask, (height, width) of 0..1, as that of a stage's canvas, on which it lies as the picture does."""
    import numpy as np
    import torch
    from PIL import Image

    pixels = stage.laid(Image.fromarray(np.rint(soft * 255).astype(np.uint8)), smooth=False)
    values = torch.from_numpy(np.array(pixels)).float()[None, None] / 255
    return Mask(pixels, torch.nn.functional.max_pool2d(values, stage.factor))
