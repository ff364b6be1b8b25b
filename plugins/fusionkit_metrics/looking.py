"""What the metrics that compare sets of crops share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.evaluation.metric import CropStep, Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools


def together(described: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The features (n, D) of all crops of a set, from those of its pictures."""
    import numpy as np

    return np.concatenate([np.asarray(each, np.float64) for each in described])


class OfCrops(Metric):
    """A metric that compares the features of a set's crops with those of a reference's.

    Crops are of the model's own size, so that a network which was trained on single pictures sees what it knows, and
    lie side by side unless `crop_step` says otherwise; this is how the papers score panoramas.
    """

    crop_step: CropStep = None

    needs: ClassVar[frozenset[str]] = frozenset({"reference", "features", "crop"})
    fewest_crops: ClassVar[int] = 2

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """Too few crops, or the base's problems: it may download a network to find them."""
        counts = [sum(each.count_crops(self.crop_step) for each in side) for side in (pictures, reference)]
        return (self.crop_problems(*counts) if all(counts) else []) or super().problems(pictures, reference, tools)

    def crop_problems(self, count: int, reference_count: int) -> list[str]:
        """One line where there are too few crops, with the numbers."""
        if min(count, reference_count) >= self.fewest_crops:
            return []
        return [f"needs at least {self.fewest_crops} crops; there are {count}, and {reference_count} of the reference"]

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The features of the picture's crops, (n, D)."""
        return tools.pooled(picture, self.crop_step)


def passed_through(width: int) -> Any:
    """A module that hands features of this width on as they are, for metric classes which want to extract them."""
    from torch import nn

    network = nn.Identity()
    network.num_features = width  # type: ignore[assignment]
    return network
