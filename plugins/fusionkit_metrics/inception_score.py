"""Inception Score (Salimans et al., arXiv 1606.03498), over crops of the model's own size."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from fusionkit.evaluation.metric import Better, Metric
from fusionkit.recipe import Count
from fusionkit_metrics.libraries import TORCHMETRICS
from fusionkit_metrics.looking import passed_through, together

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools


USUAL_SPLITS = 10
FEWEST_OF_A_SPLIT = 100
"""Crops of a part, below which the usual parts would say more of their number than of the pictures."""
LEAST = -600.0
"""The logarithm of the smallest probability that is told from 0, of which the library can't take the logarithm."""


class InceptionScore(Metric, name="is"):
    """How sure the network is of each crop, and how many different things it sees: exp(mean of KL(p(y|x) || p(y))).

    p(y|x) are the probabilities of the classes y for a crop x, and p(y) their mean over crops. From 1, where all crops
    are taken for the same, up to the number of classes or crops. Computed by torchmetrics, as FID is.
    """

    title: ClassVar[str] = "IS"
    better: ClassVar[Better] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"class-scores", "crop"})
    resamples: ClassVar[int] = 100
    libraries: ClassVar[Mapping[str, str]] = TORCHMETRICS

    splits: Count | None = Field(
        default=None,
        description="Into how many parts the crops are divided; the score is the mean of the parts'. None is 10, or 1 "
        "where there are fewer than 1000 crops.",
    )

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """Fewer crops than parts, or the base's problems: it may download a network to find them."""
        count = sum(each.crop_count for each in pictures)
        if self.splits and 0 < count < self.splits:
            return [f"splits {self.splits} needs as many crops; there are {count}; make it at most {count}"]
        return super().problems(pictures, reference, tools)

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """What each crop of the picture is taken for, (n, classes)."""
        return tools.features.class_scores(picture.crops())

    def score(self, described: Sequence[Any], reference: Sequence[Any]) -> float:
        """The score; 1 where all crops are taken for the same."""
        return inception_score(together(described), self.splits)


def inception_score(scores: NDArray[np.float64], splits: int | None = None) -> float:
    """The score of crops' class scores (n, classes), whose softmax are probabilities; the parts are drawn seeded."""
    import numpy as np
    import torch
    from torchmetrics.image.inception import InceptionScore as Library

    if splits is None:
        splits = USUAL_SPLITS if len(scores) >= USUAL_SPLITS * FEWEST_OF_A_SPLIT else 1
    scores = np.maximum(scores - scores.max(axis=1, keepdims=True), LEAST)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Metric `InceptionScore` will save all")
        metric = Library(feature=passed_through(scores.shape[1]), splits=splits)
    metric.update(torch.from_numpy(scores))
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # It asks for the deviation of the parts, too, which one part has none of.
        warnings.filterwarnings("ignore", message=r"std\(\): degrees of freedom")
        torch.manual_seed(0)
        mean, _ = metric.compute()
    return float(mean)
