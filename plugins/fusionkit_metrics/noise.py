"""How noisy a picture is by itself (Donoho and Johnstone 1994)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from math import isnan
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit_metrics.libraries import PYWAVELETS, SKIMAGE
from fusionkit_metrics.whole import Whole

if TYPE_CHECKING:
    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

DIGITS = 6
"""Behind the point: what is finer comes of the arithmetic, where a picture has nothing fine in it."""


class Noise(Whole):
    """How noisy a picture is: the standard deviation of the noise in it, in steps of 0 to 255.

    The median size of its finest wavelet coefficients, which edges, being few, hardly move, over that of noise of
    deviation 1; the mean of red, green and blue. Computed by scikit-image.
    """

    title: ClassVar[str] = "noise"
    unit: ClassVar[str] = "levels"
    libraries: ClassVar[Mapping[str, str]] = {**SKIMAGE, **PYWAVELETS}
    smallest: ClassVar[int] = 4  # the length of the wavelet

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The deviation, 0 for a picture without anything fine in it."""
        from skimage import restoration

        estimate_sigma: Any = restoration.estimate_sigma  # which has no types
        with warnings.catch_warnings():
            # Of a black picture nothing is left to take the median of.
            warnings.filterwarnings("ignore", "Mean of empty slice|invalid value encountered", RuntimeWarning)
            found = float(estimate_sigma(self.pixels(picture), channel_axis=-1, average_sigmas=True))
        return 0.0 if isnan(found) else round(found, DIGITS)
