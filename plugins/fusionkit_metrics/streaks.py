"""Straight steps of brightness, wherever they are: seams of windows that move lie at no known place."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fusionkit.recipe import Count
from fusionkit_metrics.by_prompt import ROUNDING, ByPrompt
from fusionkit_metrics.luminance import luminance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.picture import Picture

USUAL_FACTOR = 8
"""Pixels of a latent pixel in most models, for pictures that do not say which model drew them."""


class Streaks(ByPrompt):
    """How much of straight steps a set has, as a multiple of its reference's: above 1 has streaks, or seams.

    A step counts as far as all rows of a band go the same way there, and by how much it stands out from those beside
    it. No border of a window is looked at.
    """

    title: ClassVar[str] = "streaks"

    along: Literal["x", "y"] = Field(
        default="x", description="The axis along which steps are looked for: x for upright ones, y for level ones."
    )
    bands: Count = Field(default=4, description="Parts of a window's height, each of which may have steps of its own.")

    def logarithms(self, picture: Picture) -> Sequence[float]:
        """The logarithm of each band's energy of steps, in squared steps of brightness 0..255."""
        width, height = picture.crop or picture.size
        brightness, side = luminance(picture.pixels()), height
        if self.along == "y":
            brightness, side = brightness.T, width
        rows = max(1, side // self.bands)
        # The mean of so many differences of two rounded numbers.
        floor = 2 * ROUNDING / rows
        return [log(float(band) + floor) for band in steps(brightness, rows, picture.factor or USUAL_FACTOR)]


def steps(brightness: NDArray[np.float64], band: int, factor: int) -> NDArray[np.float64]:
    """The energy of straight steps in each band of rows, (H // band,).

    The mean over a band's rows of the step from each column to the next, less the median of the nearest two latent
    pixels' steps, which is a slope; of that, the mean square over the columns.

    Args:
        brightness: (H, W).
        band: Rows of a band; what is left at the bottom is left out.
        factor: Pixels of a latent pixel.
    """
    import numpy as np
    from scipy.ndimage import median_filter

    rows = np.diff(brightness[: len(brightness) // band * band], axis=1)
    means = rows.reshape(-1, band, rows.shape[1]).mean(axis=1)
    slopes = median_filter(means, size=(1, 2 * factor + 1), mode="nearest")
    found: NDArray[np.float64] = np.square(means - slopes).mean(axis=1)
    return found
