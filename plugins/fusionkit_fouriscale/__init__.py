"""FouriScale (arXiv 2403.12963) as fusionkit plugins."""

from __future__ import annotations

from fusionkit_fouriscale.fouriscale import FouriScale
from fusionkit_fouriscale.guidance import FouriScaleGuidance

__all__ = ["FouriScale", "FouriScaleGuidance"]
