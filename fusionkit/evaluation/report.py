"""An evaluation as JSON and as CSV: both hold everything that was measured, and with what."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.evaluation.needs import FEATURE_NEEDS
from fusionkit.pictures.image import versions

if TYPE_CHECKING:
    from fusionkit.evaluation.evaluate import Evaluation
    from fusionkit.evaluation.metric import Metric
    from fusionkit.evaluation.picture import Picture

COLUMNS = (
    *("metric", "picture", "prompt", "seed", "value", "low", "high", "count"),
    *("better", "unit", "features", "options", "weights", "versions"),
)
"""The columns of the CSV; a row without a picture is the set's."""


@dataclass(frozen=True)
class Report:
    """An evaluation with what it is of.

    Args:
        evaluation: What was measured.
        metrics: By which metrics.
        pictures: Of which pictures.
        folder: Where they are.
        reference: The folder that they were compared with; None for none.
        features: Name of the feature network.
        left_out: Of each metric that was not asked for by name and can't score these pictures, why not.
        weights: Local files of weights that took the place of published ones, by name.
    """

    evaluation: Evaluation
    metrics: Sequence[Metric]
    pictures: Sequence[Picture]
    folder: Path
    reference: Path | None
    features: str
    left_out: Mapping[str, str]
    weights: Mapping[str, Path] = field(default_factory=dict)

    def json(self) -> str:
        """All of it as JSON; what is not known, such as the interval of one picture, is null."""
        document = {
            "folder": str(self.folder),
            "reference": None if self.reference is None else str(self.reference),
            "features": self.features if self.uses_features else None,
            "weights": self._weights,
            "versions": self._versions,
            "metrics": [
                {
                    "name": metric.metric_name,
                    "title": metric.title,
                    "better": metric.better,
                    "unit": metric.unit,
                    "options": options_of_metric(metric),
                }
                for metric in self.metrics
            ],
            "scores": {name: _known(asdict(score)) for name, score in self.evaluation.scores.items()},
            "pictures": [
                {
                    "file": picture.path.name,
                    "prompt": picture.prompt,
                    "seed": picture.seed,
                    "width": picture.size[0],
                    "height": picture.size[1],
                    "scores": _known({name: values[index] for name, values in self.evaluation.each.items()}),
                }
                for index, picture in enumerate(self.pictures)
            ],
            "notes": list(self.evaluation.notes),
            "left-out": dict(self.left_out),
        }
        return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def csv(self) -> str:
        """All of it as CSV: for each metric one row of the set, and one of each picture that has a value of its own."""
        text = io.StringIO()
        rows = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="")
        rows.writeheader()
        for metric in self.metrics:
            name = metric.metric_name
            rows.writerow(
                {
                    "metric": name,
                    **_known(asdict(self.evaluation.scores[name])),
                    "better": metric.better,
                    "unit": metric.unit,
                    "features": self.features if looks(metric) else "",
                    "options": json.dumps(options_of_metric(metric), ensure_ascii=False),
                    "weights": json.dumps(self._weights),
                    "versions": json.dumps(self._versions),
                }
            )
            for picture, value in zip(self.pictures, self.evaluation.each.get(name, ()), strict=False):
                rows.writerow(
                    {
                        "metric": name,
                        "picture": picture.path.name,
                        "prompt": picture.prompt,
                        "seed": picture.seed,
                        "value": _number(value),
                    }
                )
        return text.getvalue()

    @property
    def _weights(self) -> dict[str, str]:
        return {name: str(path) for name, path in self.weights.items()}

    @property
    def _versions(self) -> dict[str, str]:
        """The versions of what computed it, with those of the libraries that the metrics name, as they are imported."""
        modules = sorted({module for metric in self.metrics for module in metric.libraries})
        own = {module: getattr(import_module(module), "__version__", None) for module in modules}
        return versions() | {module: str(version) for module, version in own.items() if version is not None}

    @property
    def uses_features(self) -> bool:
        """Whether any value depends on the feature network."""
        return any(map(looks, self.metrics))


def looks(metric: Metric) -> bool:
    """Whether a metric's values depend on the feature network."""
    return bool(metric.needs & set(FEATURE_NEEDS))


def options_of_metric(metric: Metric) -> dict[str, Any]:
    """All options of a metric, by the names that the command line takes."""
    return metric.model_dump(mode="json", by_alias=True)


def _known(numbers: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in numbers.items()}


def _number(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return value if isfinite(value) else None
