"""Kernel Inception Distance (Binkowski et al., arXiv 1801.01401), over crops of the model's own size."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from fusionkit.evaluation.metric import Better
from fusionkit.recipe import Count
from fusionkit_metrics.libraries import TORCHMETRICS
from fusionkit_metrics.looking import OfCrops, passed_through, together

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

USUAL_SUBSET = 1000
"""The largest subset of clean-fid, and so of published scores."""


class KID(OfCrops, name="kid"):
    """How far the crops' features are from the reference's, by the maximum mean discrepancy of a cubic kernel.

    The mean over subsets of the unbiased estimate, with k(x, y) = (x y / D + 1)^3. Unlike FID's, its expectation
    does not depend on the number of crops, so that small sets can be compared. Computed by torchmetrics, as FID is.
    """

    title: ClassVar[str] = "KID"
    better: ClassVar[Better] = "lower"
    resamples: ClassVar[int] = 100
    libraries: ClassVar[Mapping[str, str]] = TORCHMETRICS

    subsets: Count = Field(default=100, description="How many subsets the estimate is the mean of.")
    subset_size: Count | None = Field(
        default=None,
        ge=2,
        description="Crops of a subset; none is 1000, or all crops of the smaller set if it has fewer.",
    )

    def crop_problems(self, count: int, reference_count: int) -> list[str]:
        """One line where there are too few crops, or fewer than the subset that is asked for."""
        least = self.subset_size or 0
        if min(count, reference_count) >= max(least, self.fewest_crops):
            return []
        if least <= self.fewest_crops:
            return super().crop_problems(count, reference_count)
        return [
            f"subset-size {least} needs as many crops; there are {count}, and {reference_count} of the reference; make "
            f"it at most {min(count, reference_count)}, or leave it out"
        ]

    def score(self, described: Sequence[Any], reference: Sequence[Any]) -> float:
        """The distance; around 0, and as often below it as above, for two sets of one kind."""
        some, others = together(described), together(reference)
        return kernel_distance(some, others, self.subsets, self.subset_size)


def kernel_distance(
    features: NDArray[np.float64], reference: NDArray[np.float64], subsets: int = 100, subset_size: int | None = None
) -> float:
    """KID of features (n, D) and (m, D), as a mean over subsets that are drawn without replacement, seeded."""
    import torch
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(subset_size or USUAL_SUBSET, len(features), len(reference))
    if size == len(features) == len(reference):
        subsets = 1  # each one would be the whole of both sets
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save all")
        metric = KernelInceptionDistance(feature=passed_through(features.shape[1]), subsets=subsets, subset_size=size)
    metric.update(torch.from_numpy(reference), real=True)
    metric.update(torch.from_numpy(features), real=False)
    # It draws from the global generator: a score must be the same each time, and must leave that one as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mean, _ = metric.compute()
    return float(mean)
