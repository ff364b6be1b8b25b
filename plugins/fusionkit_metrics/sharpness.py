"""What is fine in a picture, apart for where it has edges and where it is flat: detail, and grain."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from fusionkit.recipe import Number
from fusionkit_metrics.by_prompt import ROUNDING, ByPrompt
from fusionkit_metrics.luminance import luminance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.picture import Picture

USUAL_FACTOR = 8
"""Pixels of a latent pixel in most models, for pictures that do not say which model drew them."""


class _Fine(ByPrompt):
    """The energy of what is finer than about two latent pixels, in some share of each crop.

    Where a crop is flat is told by what is coarse in it alone, so that neither grain nor blur moves it: pixels are
    ranked by the slope of the brightness, blurred by a latent pixel.
    """

    def logarithms(self, picture: Picture) -> Sequence[float]:
        """The logarithm of each crop's energy, in squared steps of brightness 0..255."""
        factor = picture.factor or USUAL_FACTOR
        crops = luminance(picture.crops())
        return [log(energy(crop, factor, *self._ranks()) + ROUNDING) for crop in crops]

    @abstractmethod
    def _ranks(self) -> tuple[float, float]:
        """Which pixels count, as shares of the crop: from the flattest, 0, to the steepest, 1."""


class Sharpness(_Fine):
    """How much of its reference's fine detail a set has where its pictures have edges: below 1 is blurred.

    Grain in a sky does not count, and neither does a clean sky: see `grain`.
    """

    title: ClassVar[str] = "sharpness"

    share: Number = Field(default=0.2, gt=0, le=1, description="Share of a crop, the steepest, that counts.")

    def _ranks(self) -> tuple[float, float]:
        return 1 - self.share, 1.0


class Grain(_Fine):
    """How much of its reference's fine unrest a set has where its pictures are flat: above 1 is grainy.

    What is lost where there are edges does not count: see `sharpness`.
    """

    title: ClassVar[str] = "grain"

    share: Number = Field(default=0.3, gt=0, le=1, description="Share of a crop, the flattest, that counts.")

    def _ranks(self) -> tuple[float, float]:
        return 0.0, self.share


def energy(brightness: NDArray[np.float64], factor: int, low: float, high: float) -> float:
    """The mean square of what is fine in those pixels of a crop whose slope ranks between two shares.

    Args:
        brightness: (H, W).
        factor: Pixels of a latent pixel: fine is what a Gaussian of half of that takes away.
        low: Share of the pixels that are flatter than any that counts.
        high: Share of the pixels that are no steeper than the steepest that counts.
    """
    import cv2
    import numpy as np

    def blurred(sigma: float) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(brightness, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.float64)

    fine = brightness - blurred(factor / 2)
    down, across = np.gradient(blurred(factor))
    order = np.argsort(np.hypot(down, across), axis=None, kind="stable")
    first = min(round(low * order.size), order.size - 1)
    chosen = order[first : max(first + 1, round(high * order.size))]
    return float(np.square(fine.ravel()[chosen]).mean())
