"""Guided Fusion, Variance-Corrected Fusion and Style Alignment (arXiv 2412.12771) as fusionkit plugins."""

from __future__ import annotations

from fusionkit_gvcf.guided_fusion import GuidedFusion
from fusionkit_gvcf.reference import Reference
from fusionkit_gvcf.style_alignment import StyleAlignment
from fusionkit_gvcf.variance_corrected_fusion import VarianceCorrectedFusion

__all__ = ["GuidedFusion", "Reference", "StyleAlignment", "VarianceCorrectedFusion"]
