"""FreeScale (arXiv 2412.09626) as fusionkit plugins; its stages are those of progressive-upscaling."""

from __future__ import annotations

from fusionkit_freescale.restrained_dilation import RestrainedDilation
from fusionkit_freescale.scale_fusion import ScaleFusion
from fusionkit_freescale.size_conditioning import SizeConditioning

__all__ = ["RestrainedDilation", "ScaleFusion", "SizeConditioning"]
