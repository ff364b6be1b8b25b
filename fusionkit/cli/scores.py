"""What `evaluate` prints: the table of scores, what their reader should know, and the list of metrics."""

from __future__ import annotations

from math import inf, isnan
from typing import TYPE_CHECKING, Any

from fusionkit.cli.common import table
from fusionkit.foreign import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusionkit.evaluation import Evaluation, Metric, Score
    from fusionkit.evaluation.report import Report


def scores_table(metrics: Sequence[Metric], evaluation: Evaluation) -> str:
    """The scores, one row a metric."""
    rows = [["metric", "value", "95 % interval", "better", "pictures"]]
    for metric in metrics:
        score = evaluation.scores[metric.metric_name]
        value = " ".join([rounded(score.value), *([metric.unit] if metric.unit else [])])
        rows.append([metric.metric_name, value, interval(score), better(metric), str(score.count)])
    return table(rows)


def each_table(report: Report) -> str:
    """Each picture's own values, one row a picture, the best by the first metric that has a better side first."""
    each = report.evaluation.each
    metrics = [metric for metric in report.metrics if metric.metric_name in each]
    order = list(range(len(report.pictures)))
    if ranking := next((metric for metric in metrics if metric.better != "none"), None):
        values = each[ranking.metric_name]
        order.sort(key=lambda index: _rank(values[index], ranking))
    rows = [["picture", *(metric.metric_name for metric in metrics)]]
    for index in order:
        name = printable(report.pictures[index].path.name)
        rows.append([name, *(rounded(each[metric.metric_name][index]) for metric in metrics)])
    return table(rows) if metrics else "none of these metrics has a value for each picture"


def _rank(value: float, metric: Metric) -> float:
    """Lower for better values; those that are not known come last."""
    if isnan(value):
        return inf
    return {"higher": -value, "closer-to-1": abs(value - 1)}.get(metric.better, value)


def interval(score: Score) -> str:
    """`2.9 to 3.5`; a dash where so few pictures tell nothing."""
    low, high = rounded(score.low), rounded(score.high)
    return "-" if "-" in (low, high) else f"{low} to {high}"


def better(metric: Metric | type[Metric]) -> str:
    """In which direction a metric's values are better, for a table."""
    return {"none": "-", "closer-to-1": "closer to 1"}.get(metric.better, metric.better)


def rounded(value: float) -> str:
    """Four digits that count; a dash for a number that is not known."""
    return "-" if value != value else f"{value:.4g}"


def notes(report: Report) -> list[str]:
    """What a reader of the scores should know, and which metrics are left out, those with one reason together."""
    from fusionkit.evaluation.folder import passed_over

    folders = [folder for folder in (report.folder, report.reference) if folder is not None]
    others = [line for folder in folders for line in passed_over(folder)]
    lines = [f"note: {note}" for note in (*report.evaluation.notes, *others)]
    if report.uses_features:
        lines.append(f"features: {report.features}")
    reasons: dict[str, list[str]] = {}
    for name, reason in report.left_out.items():
        reasons.setdefault(reason, []).append(name)
    lines += [f"left out: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return ["", *lines] if lines else []


def list_metrics() -> str:
    """Every installed metric with what it needs and its options, broken ones with the reason, and the networks."""
    import inspect

    from fusionkit.evaluation.registry import FEATURES, METRICS

    kinds, broken = METRICS.load_all()
    parts = []
    for name, kind in kinds.items():
        rows = [["  needs", ", ".join(sorted(kind.needs)) or "nothing but the pictures"]]
        rows.append(["  better", better(kind)])
        rows += [
            [f"  {field.alias or key}", " ".join(filter(None, [field.description, default(field.default)]))]
            for key, field in kind.model_fields.items()
        ]
        summary = (inspect.getdoc(kind) or "").partition("\n")[0]
        parts.append(f"{name}  {summary}\n{table(rows)}")
    parts += [f"{name}  broken: {reason}" for name, reason in broken.items()]
    if not parts:
        return "no installed package offers a metric"
    return "\n".join([*parts, "", f"features: {', '.join(FEATURES.entries) or 'none'}"])


def default(value: Any) -> str:
    """What an option is where it is not given; of one that is none then, its description says what that means."""
    return "" if value is None else f"Default: {value}."
