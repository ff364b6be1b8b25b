"""MultiDiffusion (arXiv 2302.08113) as a fusionkit plugin: overlapping windows, averaged."""

from __future__ import annotations

from fusionkit_multidiffusion.multidiffusion import MultiDiffusion

__all__ = ["MultiDiffusion"]
