"""DemoFusion (arXiv 2311.16973), AccDiffusion (2407.10738) and AccDiffusion v2 (2412.02099) as fusionkit plugins."""

from __future__ import annotations

from fusionkit_accdiffusion.controlnet import ControlNet
from fusionkit_accdiffusion.dilated_sampling import DilatedSampling
from fusionkit_accdiffusion.patch_content_prompts import PatchContentPrompts
from fusionkit_accdiffusion.progressive_upscaling import ProgressiveUpscaling

__all__ = ["ControlNet", "DilatedSampling", "PatchContentPrompts", "ProgressiveUpscaling"]
