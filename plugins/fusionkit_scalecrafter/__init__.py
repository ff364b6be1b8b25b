"""ScaleCrafter (arXiv 2310.07702) and attention scaling (arXiv 2306.08645) as fusionkit plugins."""

from __future__ import annotations

from fusionkit_scalecrafter.attention_scaling import AttentionScaling
from fusionkit_scalecrafter.dispersion import Dispersion
from fusionkit_scalecrafter.noise_damped_guidance import NoiseDampedGuidance
from fusionkit_scalecrafter.re_dilation import ReDilation

__all__ = ["AttentionScaling", "Dispersion", "NoiseDampedGuidance", "ReDilation"]
