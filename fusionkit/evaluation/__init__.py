"""Evaluation of pictures: metrics over a folder, each score with its interval. Importing it imports no torch."""

from __future__ import annotations

from fusionkit.evaluation.choose import make_metrics, usable
from fusionkit.evaluation.evaluate import Evaluation, check, evaluate
from fusionkit.evaluation.features import Features
from fusionkit.evaluation.folder import read_pictures
from fusionkit.evaluation.intervals import Sampled, Score, difference
from fusionkit.evaluation.metric import Metric
from fusionkit.evaluation.picture import Picture
from fusionkit.evaluation.tools import Tools

__all__ = [
    "Evaluation",
    "Features",
    "Metric",
    "Picture",
    "Sampled",
    "Score",
    "Tools",
    "check",
    "difference",
    "evaluate",
    "make_metrics",
    "read_pictures",
    "usable",
]
