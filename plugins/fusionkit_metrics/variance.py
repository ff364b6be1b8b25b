"""Variance: the detail that a picture has, which averaged noise takes away and variance correction gives back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from math import exp, isnan, log, nan
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from zlib import crc32

from pydantic import Field

from fusionkit.evaluation.metric import Better, Metric
from fusionkit.recipe import Count
from fusionkit_metrics.luminance import luminance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

Measure = Literal["local", "laplacian", "pixels"]
USUAL_BLOCK = 16
"""Pixels of two latent pixels in most models, for pictures that do not say which model drew them."""

ROUNDING = 1 / 12
"""The variance of what rounding to whole steps of brightness adds: no picture has less that could be told."""


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


class VarianceRatio(Variance):
    """How much of its reference's detail a set has: below 1 is blurred, 1 is as sharp, prompt by prompt.

    The ratio of geometric means, since blur takes a share of a picture's variance, be it large or small: an arithmetic
    mean would be that of the few pictures with the most contrast. Where prompts are known, pictures are compared with
    the reference's of their own prompt, or the ratio would tell the subjects apart.
    """

    title: ClassVar[str] = "variance ratio"
    better: ClassVar[Better] = "closer-to-1"
    needs: ClassVar[frozenset[str]] = frozenset({"crop", "reference"})
    reference_varies: ClassVar[bool] = True

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """The base's problems, and a reference that lacks a prompt."""
        problems = super().problems(pictures, reference, tools)
        asked, known = ({picture.prompt for picture in side} for side in (pictures, reference))
        if not problems and not {None, ""} & (asked | known) and (without := sorted(map(str, asked - known))):
            problems.append(f"needs the prompts of the pictures in the reference; it has none of {without[0]!r}")
        return problems

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The mean logarithm of the detail of the picture's crops, and a number that stands for its prompt."""
        import numpy as np

        brightness = luminance(picture.crops())
        block = self.block_of(picture)
        logs = [log(detail(crop[None], self.measure, block) + ROUNDING) for crop in brightness]
        prompt = crc32(picture.prompt.encode()) if picture.prompt else nan
        return np.array([sum(logs) / len(logs) if logs else nan, prompt])

    def each(self, described: Any) -> float:
        """NaN: what one picture shows decides more than how sharp it is."""
        return nan

    def score(self, described: Sequence[Any], reference: Sequence[Any]) -> float:
        """The ratio; prompts weigh by the number of their pictures in the set."""
        mine, theirs = _by_prompt(described), _by_prompt(reference)
        if any(isnan(prompt) for side in (mine, theirs) for prompt in side):
            mine, theirs = ({0.0: list(chain.from_iterable(side.values()))} for side in (mine, theirs))
        common = [prompt for prompt in mine if prompt in theirs]
        weight = sum(len(mine[prompt]) for prompt in common)
        if not weight:
            return nan
        return exp(sum(len(mine[p]) * (_mean(mine[p]) - _mean(theirs[p])) for p in common) / weight)


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


def _by_prompt(described: Sequence[Any]) -> dict[float, list[float]]:
    """The logarithms of `VarianceRatio.describe`, by what stands for the prompt."""
    found: dict[float, list[float]] = {}
    for value, prompt in ((float(value), float(prompt)) for value, prompt in described):
        if not isnan(value):
            found.setdefault(prompt, []).append(value)
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
