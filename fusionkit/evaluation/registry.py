"""Finds the metrics and the feature networks that the installed packages offer, without importing torch."""

from __future__ import annotations

from fusionkit.evaluation.features import FEATURES as FEATURES
from fusionkit.evaluation.metric import Metric
from fusionkit.registry import Group

METRICS: Group[Metric] = Group("fusionkit.metrics", "metric", Metric)  # type: ignore[type-abstract]
