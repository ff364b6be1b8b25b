"""MultiDiffusion (arXiv 2302.08113) as fusionkit plugins: overlapping windows, averaged, and rings of them."""

from __future__ import annotations

from fusionkit_multidiffusion.multidiffusion import MultiDiffusion
from fusionkit_multidiffusion.ring import Ring

__all__ = ["MultiDiffusion", "Ring"]
