"""HiDiffusion (arXiv 2311.17528) as fusionkit plugins."""

from __future__ import annotations

from fusionkit_hidiffusion.resolution_aware_unet import ResolutionAwareUNet
from fusionkit_hidiffusion.windowed_attention import WindowedAttention

__all__ = ["ResolutionAwareUNet", "WindowedAttention"]
