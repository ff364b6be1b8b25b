"""What the papers print, from `published.yaml`, as far as it can stand beside what is measured here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

COUNTERPARTS = {"tinyworld-agreement": "clip-score", "vista-agreement": "clip-score", "agreement": "clip-score"}
"""What a paper has in a metric's place, where it asks the same with another network."""


@cache
def published(name: str) -> Mapping[str, Any]:
    """What is in print of an experiment: `source`, `drawn`, `says`, and its figures."""
    every = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
    found: Mapping[str, Any] = every[name]
    return found


def printed_score(name: str, title: str, metric: str) -> float | None:
    """The score of a setting in print; None where there is none."""
    scores = published(name).get("scores", {}).get(title, {})
    found: float | None = scores.get(COUNTERPARTS.get(metric, metric))
    return found


def printed_difference(name: str, some: str, others: str, metric: str) -> float | None:
    """How much higher one setting scores than another in print; None where one of them is not there."""
    first, second = (printed_score(name, title, metric) for title in (some, others))
    return None if first is None or second is None else first - second


def printed_ratio(name: str, some: str, others: str) -> float | None:
    """The time of a step of one setting as a ratio to another's, in print; None where one of them is not there."""
    times = published(name)["seconds"]
    if some not in times or others not in times:
        return None
    first, second = (times[title]["seconds"] / times[title]["steps"] for title in (some, others))
    return float(first / second)


def printed(value: float | str | None, digits: int = 4, *, signed: bool = False) -> str:
    """A figure in print as the page shows it."""
    if value is None or isinstance(value, str):
        return value or ""
    # Differences of printed figures have rounding errors far behind the digits that were printed.
    return f"{round(value, 6):+.{digits}g}" if signed else f"{value:.{digits}g}"
