"""Figures as tables in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(values: Sequence[bool]) -> str:
    """The share of what is true, such as "97.5 %"; a dash for a share of nothing."""
    return f"{sum(values) / len(values):.1%}".replace("%", " %") if values else "-"


def interval(values: Sequence[float]) -> float:
    """Half the width of the mean's 95 % interval, by the normal approximation."""
    return 1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
