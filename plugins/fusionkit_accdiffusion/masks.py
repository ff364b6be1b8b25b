"""Masks of words: where a word belongs, and what share of a view that is (arXiv 2407.10738, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit import View
    from fusionkit.loop.views import Wrap

    Masks = NDArray[np.uint8]


def above_mean(maps: NDArray[np.float32]) -> Masks:
    """1 where a map (W, h, w) is above its own mean, else 0."""
    import numpy as np

    return np.asarray(maps > maps.mean(axis=(1, 2), keepdims=True), np.uint8)


def opened(masks: Masks, iterations: int | None = None, wrap: Wrap = "") -> Masks:
    """Masks (W, h, w) without specks: eroded by 3x3 some times, then dilated as often.

    Args:
        masks: 0 and 1.
        iterations: How often; None is a sixteenth of the rows, which is none below 16.
        wrap: Along which axes the canvas is a ring.
    """
    import numpy as np

    times = _times(masks, iterations)
    above, before = (2 * times if axis in wrap else 0 for axis in "yx")
    around = np.pad(masks, ((0, 0), (above, above), (before, before)), mode="wrap")
    whole = dilated(eroded(around, times), times)
    return whole[:, above : around.shape[1] - above, before : around.shape[2] - before]


def eroded(masks: Masks, iterations: int | None = None) -> Masks:
    """The first half of `opened`."""
    import cv2

    return _each(cv2.erode, masks, iterations)


def dilated(masks: Masks, iterations: int | None = None) -> Masks:
    """The second half of `opened`."""
    import cv2

    return _each(cv2.dilate, masks, iterations)


def _times(masks: Masks, iterations: int | None) -> int:
    return masks.shape[1] // 16 if iterations is None else iterations


def _each(change: object, masks: Masks, iterations: int | None) -> Masks:
    import numpy as np

    times = _times(masks, iterations)
    if not times or not len(masks):
        return masks
    kernel = np.ones((3, 3), np.uint8)
    return np.stack([change(mask, kernel, iterations=times) for mask in masks])  # type: ignore[operator]


def shares(masks: Masks, views: Sequence[View], canvas: tuple[int, int]) -> NDArray[np.float64]:
    """The share of each view that each mask covers, (P, W), 0..1.

    A mask is enlarged to the canvas without smoothing. What of a view lies outside the canvas does not count.

    Args:
        masks: (W, h, w), 0 and 1.
        views: P views.
        canvas: (height, width) in latent pixels.
    """
    import numpy as np

    # A rectangle of the enlarged mask is a weighted sum of rows and columns of the small one.
    rows, columns = np.zeros((len(views), masks.shape[1])), np.zeros((len(views), masks.shape[2]))
    for number, view in enumerate(views):
        for counts, pieces, length in zip((rows, columns), view.pieces(canvas), canvas, strict=True):
            for places, _ in pieces:
                on_axis = np.arange(places.start, places.stop, places.step) * counts.shape[1] // length
                np.add.at(counts[number], on_axis, 1)
    covered = np.einsum("ph,whk,pk->pw", rows, masks.astype(np.float64), columns, optimize=True)
    return np.asarray(covered / (rows.sum(1) * columns.sum(1))[:, None])
