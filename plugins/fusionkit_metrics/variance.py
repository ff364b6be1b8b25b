"""Variance: the detail that a picture has, which averaged noise takes away and variance correction gives back."""

from __future__ import annotations

from math import log, nan
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from fusionkit.evaluation.metric import Metric
from fusionkit.recipe import Count
from fusionkit_metrics.by_prompt import ROUNDING, ByPrompt
from fusionkit_metrics.luminance import luminance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

Measure = Literal["local", "laplacian", "pixels"]
USUAL_BLOCK = 16
"""Pixels of two latent pixels in most models, for pictures that do not say which model drew them."""


class Variance(Metric):
    """The detail of a picture: the variance of brightness in small blocks, as a mean over its crops.

    No target of its own, since a forest has more of it than a beach: compare pictures of the same prompts, or see
    `variance-ratio`.
    """

    title: ClassVar[str] = "variance"
    needs: ClassVar[frozenset[str]] = frozenset({"crop"})

    measure: Measure = Field(
        default="local",
        description="local: the variance in each block, as a mean over the blocks; laplacian: the variance of the "
        "Laplacian (Pech-Pacheco et al. 2000), which looks at the finest detail; pixels: the variance of the crop.",
    )
    block: Count | None = Field(
        default=None,
        ge=2,
        description="Side of a block in pixels; none is two latent pixels, or 16 where those are not known.",
    )

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The mean over the picture's crops, in squared steps of brightness 0..255."""
        return detail(luminance(picture.crops()), self.measure, self.block_of(picture))

    def block_of(self, picture: Picture) -> int:
        """The side of a block of a picture, in pixels."""
        return self.block or 2 * (picture.factor or USUAL_BLOCK // 2)


class VarianceRatio(ByPrompt, Variance):
    """How much of its reference's detail a set has: below 1 is blurred, 1 is as sharp, prompt by prompt.

    The ratio of geometric means, since blur takes a share of a picture's variance, be it large or small: an arithmetic
    mean would be that of the few pictures with the most contrast. Where prompts are known, pictures are compared with
    the reference's of their own prompt, or the ratio would tell the subjects apart.
    """

    title: ClassVar[str] = "variance ratio"

    def logarithms(self, picture: Picture) -> list[float]:
        """The logarithm of each crop's detail."""
        brightness = luminance(picture.crops())
        block = self.block_of(picture)
        return [log(detail(crop[None], self.measure, block) + ROUNDING) for crop in brightness]


def detail(brightness: NDArray[np.float64], measure: Measure, block: int) -> float:
    """One of the measures, as a mean over crops (n, h, w); NaN without crops.

    Args:
        brightness: 0..255.
        measure: Which one.
        block: Side in pixels of the blocks of `local`; what is left at the right and at the bottom is left out.
    """
    import numpy as np

    if not len(brightness):
        return nan
    if measure == "pixels":
        return float(brightness.var(axis=(1, 2)).mean())
    if measure == "laplacian":
        import cv2

        return float(np.mean([cv2.Laplacian(crop, cv2.CV_64F).var() for crop in brightness]))
    count, height, width = brightness.shape
    block = min(block, height, width)
    down, across = height // block, width // block
    whole = brightness[:, : down * block, : across * block]
    return float(whole.reshape(count, down, block, across, block).var(axis=(2, 4)).mean())
