"""What the metrics of pixels look at: the brightness that an eye sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHTS = (0.299, 0.587, 0.114)
"""Of red, green and blue: the luma of ITU-R BT.601, as JPEG and OpenCV have it."""


def luminance(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The brightness 0..255, (..., H, W), of pixels (..., H, W, 3); not rounded."""
    import numpy as np

    found: NDArray[np.float64] = pixels.astype(np.float64) @ np.array(WEIGHTS)
    return found
