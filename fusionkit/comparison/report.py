"""A comparison's tables, its report, and the page that is made of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from fusionkit.comparison.folder import Folder
from fusionkit.comparison.jobs import Job
from fusionkit.comparison.larger import larger
from fusionkit.comparison.measure import Measured, common_device, costs, device_of
from fusionkit.comparison.page import make_thumbnails, write_page
from fusionkit.comparison.spec import Comparison
from fusionkit.comparison.tables import FORMATS, table_of
from fusionkit.evaluation import Metric, Score
from fusionkit.pictures.image import versions
from fusionkit.pictures.parameters import model_name

COSTS = (
    {"name": "seconds", "title": "seconds a picture", "unit": "s"},
    {"name": "forward-passes", "title": "forward passes a picture", "unit": ""},
    {"name": "peak-memory", "title": "peak memory", "unit": "MB"},
)


def write_report(
    comparison: Comparison,
    folder: Folder,
    jobs: Sequence[Job],
    metrics: Sequence[Metric],
    measured: Mapping[str, Measured],
    notes: Sequence[str],
    command: str,
) -> Path:
    """Write recipes, tables, report and page, and return the page's path.

    `scores.csv` and `pictures.csv` hold what the pictures decide, and are the same where a comparison was interrupted;
    seconds and memory are in `costs.csv`, and in the tables to paste beside the scores.

    Args:
        comparison: What is compared.
        folder: Where it goes.
        jobs: All pictures, drawn or not.
        metrics: By which it was measured.
        measured: What was measured of each setting.
        notes: What a reader should know.
        command: What made it.

    Raises:
        FusionError: Something can't be written.
    """
    for setting in comparison.settings:
        recipe = measured[setting.name].jobs[0].recipe
        folder.write(
            folder.path / "recipes" / f"{setting.name}.yaml",
            f"# {setting.title}, for the first prompt and seed\n{recipe.to_yaml()}",
        )
    report = report_of(comparison, folder, jobs, metrics, measured, notes, command)
    folder.write(folder.path / "scores.csv", _csv(score_rows(comparison, metrics, measured)))
    folder.write(folder.path / "pictures.csv", _csv(picture_rows(comparison, metrics, measured)))
    folder.write(folder.path / "costs.csv", _csv(cost_rows(measured)))
    for name, form in FORMATS.items():
        folder.write(folder.path / name, table_of(report, form).whole())
    folder.write(folder.path / "report.json", json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    make_thumbnails(folder.path, report, folder.write)
    return write_page(folder.path, report, folder.write)


def report_of(
    comparison: Comparison,
    folder: Folder,
    jobs: Sequence[Job],
    metrics: Sequence[Metric],
    measured: Mapping[str, Measured],
    notes: Sequence[str],
    command: str,
) -> dict[str, Any]:
    """All of a comparison as plain values, ready for JSON."""
    scored = {
        (name, job.prompt, job.seed): {metric: _number(values[at]) for metric, values in each.evaluation.each.items()}
        for name, each in measured.items()
        for at, job in enumerate(each.jobs)
    }
    device, _ = common_device(measured[setting.name] for setting in comparison.settings)
    about = versions([plugin for setting in comparison.settings for plugin in setting.recipe.plugins])
    return {
        "title": comparison.title,
        "about": {**about, "device": drawn_on(measured), "command": command, "notes": list(notes)},
        "metrics": [
            {"name": each.metric_name, "title": each.title, "better": each.better, "unit": each.unit}
            for each in metrics
        ],
        "costs": [dict(cost) for cost in COSTS],
        "settings": [
            {
                "name": setting.name,
                "title": setting.title,
                "changes": dict(setting.changes),
                "recipe": f"recipes/{setting.name}.yaml",
                "drawn": _drawn(found.jobs[0]),
                "larger": larger(found.jobs[0].recipe),
                "scores": {each.metric_name: _score(found.evaluation.scores.get(each.metric_name)) for each in metrics},
                "differences": {name: _score(score) for name, score in found.differences.items()},
                "costs": _in_megabytes(costs(found.runs, device)),
            }
            for setting in comparison.settings
            for found in [measured[setting.name]]
        ],
        "prompts": list(comparison.prompts),
        "seeds": list(comparison.seeds),
        "pictures": [
            _picture(folder, job, scored.get((job.setting.name, job.prompt, job.seed), {}))
            for job in jobs
            if job.setting is not comparison.reference
        ],
    }


def drawn_on(measured: Mapping[str, Measured]) -> str:
    """What has drawn the pictures of all settings."""
    return ", ".join(dict.fromkeys(device_of(run) for found in measured.values() for run in found.runs))


def score_rows(
    comparison: Comparison, metrics: Sequence[Metric], measured: Mapping[str, Measured]
) -> Iterable[dict[str, Any]]:
    """A row for each setting and metric."""
    for setting in comparison.settings:
        found = measured[setting.name]
        for metric in metrics:
            name = metric.metric_name
            score, other = found.evaluation.scores.get(name), found.differences.get(name)
            yield {
                "setting": setting.name,
                "title": setting.title,
                "metric": name,
                "better": metric.better,
                **_columns("", score),
                "pictures": 0 if score is None else score.count,
                **_columns("difference", other),
            }


def picture_rows(
    comparison: Comparison, metrics: Sequence[Metric], measured: Mapping[str, Measured]
) -> Iterable[dict[str, Any]]:
    """A row for each picture: what decides it, and its own scores."""
    for name, found in measured.items():
        for at, (job, run) in enumerate(zip(found.jobs, found.runs, strict=True)):
            own = {
                metric.metric_name: found.evaluation.each.get(metric.metric_name, {at: None})[at] for metric in metrics
            }
            yield {
                "setting": name,
                "prompt": comparison.prompts[job.prompt],
                "seed": job.seed,
                "file": job.file,
                "forward-passes": run["forward-passes"],
                **{metric: _number(value) for metric, value in own.items()},
            }


def cost_rows(measured: Mapping[str, Measured]) -> Iterable[dict[str, Any]]:
    """A row for each picture: what it cost."""
    for name, found in measured.items():
        for job, run in zip(found.jobs, found.runs, strict=True):
            yield {"setting": name, "file": job.file, **run}


def _picture(folder: Folder, job: Job, scores: Mapping[str, Any]) -> dict[str, Any]:
    width, height = job.recipe.size
    told = folder.told(job)
    seconds = None if told is None else told["run"]["seconds"]
    return {
        "setting": job.setting.name,
        "prompt": job.prompt,
        "seed": job.seed,
        "file": job.file,
        "thumbnail": job.thumbnail,
        "width": width,
        "height": height,
        "scores": dict(scores),
        "costs": {"seconds": seconds},
    }


def _drawn(job: Job) -> dict[str, Any]:
    """How a setting draws, as far as a table's caption tells it."""
    width, height = job.recipe.size
    models = ", ".join(model_name(spec.model) for spec in job.recipe.specs.values())
    return {"size": f"{width}x{height}", "steps": job.recipe.steps, "model": models}


def _in_megabytes(found: Mapping[str, dict[str, float] | None]) -> dict[str, dict[str, float] | None]:
    memory = found["peak-memory"]
    return {
        **found,
        "peak-memory": None if memory is None else {name: round(value / 1e6, 1) for name, value in memory.items()},
    }


def _score(score: Score | None) -> dict[str, Any] | None:
    if score is None or not isfinite(score.value):
        return None
    return {"value": score.value, "low": _number(score.low), "high": _number(score.high), "count": score.count}


def _columns(prefix: str, score: Score | None) -> dict[str, Any]:
    dash = "-" if prefix else ""
    names = (prefix or "value", f"{prefix}{dash}low", f"{prefix}{dash}high")
    values = (None,) * 3 if score is None else (score.value, score.low, score.high)
    return {name: _number(value) for name, value in zip(names, values, strict=True)}


def _number(value: float | None) -> float | None:
    """What JSON and CSV can hold; the last digits, which another machine's libraries may change, are left out."""
    return None if value is None or not isfinite(value) else float(f"{value:.9g}")


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    found = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in found for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()
