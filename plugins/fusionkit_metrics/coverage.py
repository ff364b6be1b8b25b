"""Coverage: how much of a picture is not a hole that no view drew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from fusionkit.evaluation.metric import Better, Metric
from fusionkit.recipe import Count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

STRAIGHT = 0.95
"""A white or a black patch that fills this share of the box around it is a hole: skies have no such outline."""


class Coverage(Metric):
    """The share of a picture that is not a hole: of pixels outside patches of one flat colour.

    What a model draws is never quite flat, but what it did not draw is. A pixel is in a hole where some square of
    `block` pixels a side around it varies by no more than `tolerance` in any channel. White and black are an exception,
    as the brightest sky and the darkest night are flat too: they are holes where their outline is a rectangle's.
    """

    title: ClassVar[str] = "coverage"
    better: ClassVar[Better] = "closer-to-1"
    any_size: ClassVar[bool] = True

    block: Count = Field(default=8, ge=2, description="Side in pixels of the smallest hole.")
    tolerance: int = Field(
        default=1,
        ge=0,
        le=255,
        description="By how many of 256 steps a hole's pixels may differ in a channel, as by rounding.",
    )

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The share, 0..1."""
        return 1 - float(holes(picture.pixels(), self.block, self.tolerance).mean())


def holes(pixels: NDArray[np.uint8], block: int = 8, tolerance: int = 1) -> NDArray[np.bool_]:
    """Where a picture (H, W, 3) has holes, (H, W).

    Args:
        pixels: The picture.
        block: Side of the smallest hole in pixels.
        tolerance: By how much pixels of a hole's square may differ, in steps of 0..255.
    """
    import cv2
    import numpy as np

    if min(pixels.shape[:2]) < block:
        return np.zeros(pixels.shape[:2], np.bool_)
    square = np.ones((block, block), np.uint8)
    # Of each square the lowest and the highest value, kept at its first pixel; squares over the edge do not count.
    lowest, highest = (
        filtered(pixels, square, anchor=(0, 0))[: 1 - block, : 1 - block].astype(np.int16)
        for filtered in (cv2.erode, cv2.dilate)
    )
    flat = ((highest - lowest) <= tolerance).all(axis=2)
    starts = np.zeros(pixels.shape[:2], np.uint8)
    starts[: 1 - block, : 1 - block] = flat
    # Every pixel of a flat square: dilation looks back from each pixel, up to the square's first.
    found = np.asarray(cv2.dilate(starts, square, anchor=(block - 1, block - 1)), np.uint8)
    return found.astype(np.bool_) & ~_bright_or_dark(pixels, found, tolerance)


def _bright_or_dark(pixels: NDArray[np.uint8], flat: NDArray[np.uint8], tolerance: int) -> NDArray[np.bool_]:
    """Flat patches of white or black whose outline is no rectangle's, (H, W)."""
    import cv2
    import numpy as np

    natural = np.zeros(flat.shape, np.bool_)
    for clipped in ((pixels >= 255 - tolerance).all(axis=2), (pixels <= tolerance).all(axis=2)):
        patches = (flat & clipped).astype(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(patches, connectivity=4)
        box = stats[:, cv2.CC_STAT_WIDTH] * stats[:, cv2.CC_STAT_HEIGHT]
        uneven = stats[:, cv2.CC_STAT_AREA] < STRAIGHT * box
        uneven[0] = False
        natural |= uneven[labels]
    return natural
