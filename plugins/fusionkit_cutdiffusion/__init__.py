"""CutDiffusion (arXiv 2404.15141) as a fusionkit plugin: coarse pictures of the whole first, then windows."""

from __future__ import annotations

from fusionkit_cutdiffusion.cut_diffusion import CutDiffusion

__all__ = ["CutDiffusion"]
