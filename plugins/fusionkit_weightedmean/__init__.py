"""The weighted mean of several models' predictions, by timestep and by place (arXiv 2206.01714, 2211.01324)."""

from __future__ import annotations

from fusionkit_weightedmean.parts import Share, Stretch, WeightedBox, WeightedMask
from fusionkit_weightedmean.weighted_mean import MeanOfModels

__all__ = ["MeanOfModels", "Share", "Stretch", "WeightedBox", "WeightedMask"]
