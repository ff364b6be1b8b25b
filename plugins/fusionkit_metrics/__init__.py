"""Metrics of fused pictures, and the networks that they look with; `docs/metrics.md` says what each one tells.

Importing this package loads no array library: metrics are listed by `fusionkit evaluate --list`, which must be quick.
"""

from __future__ import annotations

from fusionkit_metrics.blur import Blur
from fusionkit_metrics.clip_iqa import CLIPIQA
from fusionkit_metrics.clip_score import CLIPScore
from fusionkit_metrics.coherence import IntraLPIPS, StyleLoss
from fusionkit_metrics.coverage import Coverage
from fusionkit_metrics.fid import FID
from fusionkit_metrics.giqa import GIQADiversity, GIQAQuality
from fusionkit_metrics.inception import InceptionFeatures
from fusionkit_metrics.inception_score import InceptionScore
from fusionkit_metrics.kid import KID
from fusionkit_metrics.noise import Noise
from fusionkit_metrics.seam import Seam
from fusionkit_metrics.sharpness import Grain, Sharpness
from fusionkit_metrics.ssim import SSIM
from fusionkit_metrics.streaks import Streaks
from fusionkit_metrics.variance import Variance, VarianceRatio

__all__ = [
    "CLIPIQA",
    "FID",
    "KID",
    "SSIM",
    "Blur",
    "CLIPScore",
    "Coverage",
    "GIQADiversity",
    "GIQAQuality",
    "Grain",
    "InceptionFeatures",
    "InceptionScore",
    "IntraLPIPS",
    "Noise",
    "Seam",
    "Sharpness",
    "Streaks",
    "StyleLoss",
    "Variance",
    "VarianceRatio",
]
