"""Frechet Inception Distance (Heusel et al., arXiv 1706.08500), over crops of the model's own size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.evaluation.metric import Better
from fusionkit_metrics.libraries import TORCHMETRICS
from fusionkit_metrics.looking import OfCrops, passed_through, together

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class FID(OfCrops, name="fid"):
    """How far the crops' features are from the reference's, as two Gaussians: |m - n|^2 + tr(S + T - 2 (S T)^(1/2)).

    m and S are the mean and the covariance of the crops' features, n and T those of the reference's. Computed by
    torchmetrics, the maintained library whose metric takes features as they are.
    """

    title: ClassVar[str] = "FID"
    better: ClassVar[Better] = "lower"
    resamples: ClassVar[int] = 100
    libraries: ClassVar[Mapping[str, str]] = TORCHMETRICS

    def score(self, described: Sequence[Any], reference: Sequence[Any]) -> float:
        """The distance; 0 between a set and itself."""
        return frechet_distance(together(described), together(reference))


def frechet_distance(features: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """The Frechet distance between Gaussians with the mean and the covariance of features (n, D) and (m, D).

    Covariances are those of samples, with n - 1.
    """
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    some, others = in_their_span(features, reference)
    metric = FrechetInceptionDistance(feature=passed_through(some.shape[1]))
    metric.update(torch.from_numpy(others), real=True)
    metric.update(torch.from_numpy(some), real=False)
    # Equal sets may come out as -1e-13.
    return max(0.0, float(metric.compute()))


def in_their_span(
    features: NDArray[np.float64], reference: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same features in an orthonormal basis of the space that they span, where that has fewer dimensions.

    The distance does not change, since it is one of lengths and angles. The root of a covariance of 2,048 dimensions
    that a few hundred crops leave nearly empty takes seconds and is the less exact for it.
    """
    import numpy as np

    count, dimensions = len(features) + len(reference), features.shape[1]
    if count >= dimensions:
        return features, reference
    basis, _ = np.linalg.qr(np.concatenate([features, reference]).T)
    return features @ basis, reference @ basis
