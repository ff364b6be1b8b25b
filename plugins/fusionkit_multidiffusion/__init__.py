"""MultiDiffusion (arXiv 2302.08113) as fusionkit plugins: windows, and regions with prompts of their own."""

from __future__ import annotations

from fusionkit_multidiffusion.multidiffusion import MultiDiffusion
from fusionkit_multidiffusion.regions import Region, Regions

__all__ = ["MultiDiffusion", "Region", "Regions"]
