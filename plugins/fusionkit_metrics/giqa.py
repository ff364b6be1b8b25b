"""GIQA, quality and diversity by nearest neighbours (Gu et al., arXiv 2003.08932), as arXiv 2412.12771 uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from fusionkit.evaluation.metric import Better
from fusionkit.recipe import Count
from fusionkit_metrics.libraries import SKLEARN
from fusionkit_metrics.looking import OfCrops, together

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

USUAL_SHARE = 0.2
"""K = 3500 of 17,500 crops in arXiv 2412.12771: as many as there are of one of its five prompts."""


class _NearestNeighbours(OfCrops):
    """What both directions share."""

    better: ClassVar[Better] = "higher"
    resamples: ClassVar[int] = 100
    libraries: ClassVar[Mapping[str, str]] = SKLEARN

    k: Count | None = Field(
        default=None,
        description="Nearest neighbours that count, at most all; none is a fifth of the crops to choose from, as the "
        "3500 of 17,500 in arXiv 2412.12771.",
    )


class GIQAQuality(_NearestNeighbours, name="giqa-qs"):
    """How near the crops lie to those of the reference: the mean over crops of 1 / distance to the K nearest."""

    title: ClassVar[str] = "GIQA-QS"

    def score(self, described: Sequence[Any], reference: Sequence[Any]) -> float:
        """The mean over crops, looking for neighbours among the reference's."""
        return nearness(together(described), together(reference), self.k)


class GIQADiversity(_NearestNeighbours, name="giqa-ds"):
    """How near the reference's crops lie to those of the set: low where the set leaves out what the reference has."""

    title: ClassVar[str] = "GIQA-DS"

    def score(self, described: Sequence[Any], reference: Sequence[Any]) -> float:
        """The mean over the reference's crops, looking for neighbours among the set's."""
        return nearness(together(reference), together(described), self.k)


def usual_k(count: int) -> int:
    """How many of so many crops count as neighbours where nobody says."""
    return max(1, round(USUAL_SHARE * count))


def nearness(points: NDArray[np.float64], among: NDArray[np.float64], k: int | None = None) -> float:
    """The mean over points (n, D) of the mean of 1 / d over each one's K nearest neighbours (m, D), d by L1.

    A mean over neighbours and not a sum, as in the published code, so that K does not scale it. Copies, at a distance
    of 0, are passed over: 1 / 0 says nothing of quality. NaN where there is nothing but copies.
    """
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    wanted = min(len(among), k or usual_k(len(among)))
    search = NearestNeighbors(metric="manhattan", algorithm="brute").fit(among)
    looked_at = wanted
    while True:
        distances, _ = search.kneighbors(points, n_neighbors=min(len(among), looked_at))
        apart = distances > 0
        if looked_at >= len(among) or apart.sum(axis=1).min() >= wanted:
            break
        looked_at *= 2
    # The first `wanted` of those that are no copies; they come sorted.
    counted = apart & (apart.cumsum(axis=1) <= wanted)
    sums = np.divide(1.0, distances, out=np.zeros_like(distances), where=counted).sum(axis=1)
    numbers = counted.sum(axis=1)
    known = numbers > 0
    return float((sums[known] / numbers[known]).mean()) if known.any() else nan
