"""Measures a comparison: every setting's scores with intervals, its differences to the first, and what it cost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from fusionkit.comparison.folder import Folder
from fusionkit.comparison.jobs import Job
from fusionkit.comparison.spec import Comparison, Setting, collected
from fusionkit.errors import RecipeError
from fusionkit.evaluation import (
    Evaluation,
    Metric,
    Picture,
    Score,
    Tools,
    check,
    difference,
    evaluate,
    make_metrics,
    read_pictures,
    usable,
)
from fusionkit.evaluation.libraries import missing
from fusionkit.recipe.recipe import plugin_entry
from fusionkit.runs.checks import inspected

Told = Callable[[str, int, int], None]
"""Called with what is measured, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one setting.

    Args:
        jobs: Its pictures, in the order of all settings.
        evaluation: Their scores.
        differences: How much higher than the first setting it scores, by metric; empty for the first.
        runs: What each picture's run cost, as its file says.
    """

    jobs: Sequence[Job]
    evaluation: Evaluation
    differences: Mapping[str, Score]
    runs: Sequence[Mapping[str, Any]]


def metrics_of(comparison: Comparison) -> list[Metric]:
    """The metrics that a comparison names, or all that are installed.

    Raises:
        RecipeError: One is unknown, or an option of it; all problems.
    """
    if comparison.metrics is None:
        return make_metrics()
    problems, names, sets = [], [], []
    for entry in comparison.metrics:
        try:
            name, options = plugin_entry(entry)
        except ValueError as error:
            problems.append(f"metrics: {error}".replace("a plugin is", "a metric is"))
            continue
        names.append(name)
        sets += [f"{name}.{option}={json.dumps(value)}" for option, value in options.items()]
    if problems:
        raise RecipeError(problems)
    return make_metrics(names, sets)


def pictures_of(folder: Folder, jobs: Sequence[Job]) -> list[Picture]:
    """Pictures as metrics see them, in the order of the jobs; their files need not be there yet.

    A picture's partner is the first setting's of the same prompt and seed.
    """
    window: dict[str, tuple[int, int]] = {}
    pictures = []
    for job in jobs:
        if job.setting.name not in window:
            main = next(iter(job.recipe.specs.values()))
            window[job.setting.name] = job.recipe.window or inspected(main).window
        width, height = (min(sides) for sides in zip(window[job.setting.name], job.recipe.size, strict=True))
        recipe = job.recipe
        pictures.append(
            Picture(folder.file(job), recipe.size, recipe.prompt, recipe.seed, recipe, crop=(width, height))
        )
    return pictures


def reference_pictures(folder: Folder, comparison: Comparison, jobs: Sequence[Job]) -> list[Picture]:
    """The pictures that scores compare with; none where the comparison has no reference.

    Raises:
        RecipeError: The reference's folder is missing or empty, or a file in it can't be read.
    """
    if isinstance(comparison.reference, Path):
        return read_pictures(comparison.reference)
    return pictures_of(folder, [job for job in jobs if job.setting is comparison.reference])


def check_metrics(comparison: Comparison, folder: Folder, jobs: Sequence[Job], tools: Tools) -> None:
    """Whether the metrics that the comparison names can score what is going to be drawn, before it is.

    Raises:
        RecipeError: They can't; all problems.
    """
    problems: list[str] = []
    metrics = collected(problems, lambda: metrics_of(comparison))
    reference = collected(problems, lambda: reference_pictures(folder, comparison, jobs))
    if problems:
        raise RecipeError(problems)
    if comparison.metrics is None:
        return
    if problems := [f"{metric.metric_name}: {line}" for metric in metrics for line in missing(metric.libraries)]:
        raise RecipeError(problems)
    # All settings draw as many pictures of as many crops: the last one has a partner, too.
    last = pictures_of(folder, [job for job in jobs if job.setting is comparison.settings[-1]])
    whole = [metric for metric in metrics if "partner" not in metric.needs]
    if problems := check(last, whole, tools, reference):
        raise RecipeError(problems)


def complete(jobs: Sequence[Job], folder: Folder, settings: Sequence[Setting]) -> dict[str, list[Job]]:
    """The pictures that are drawn by every setting, by the settings' names; the reference's that are drawn."""
    drawn: dict[str, dict[tuple[int, int], Job]] = {}
    for job in jobs:
        if folder.has(job):
            drawn.setdefault(job.setting.name, {})[job.prompt, job.seed] = job
    common = set.intersection(*(set(drawn.get(setting.name, {})) for setting in settings))
    return {
        name: [job for pair, job in found.items() if pair in common or name == "reference"]
        for name, found in drawn.items()
    }


def measure(
    comparison: Comparison, folder: Folder, jobs: Sequence[Job], tools: Tools, told: Told | None = None
) -> tuple[list[Metric], dict[str, Measured], list[str]]:
    """Score what every setting has drawn.

    Args:
        comparison: What is compared.
        folder: Where its pictures are.
        jobs: All pictures; those that not every setting has drawn are left out.
        tools: What metrics share.
        told: Called as the work goes on.

    Returns:
        The metrics, what was measured of each setting by its name, and what a reader should know, one line each.

    Raises:
        RecipeError: A named metric can't score these pictures, or there are none; all problems.
    """
    by_setting = complete(jobs, folder, comparison.settings)
    if not all(by_setting.get(setting.name) for setting in comparison.settings):
        raise RecipeError(
            [f"{folder.path}: no prompt and seed is drawn by every setting yet; there is nothing to measure"]
        )
    reference = reference_pictures(folder, comparison, by_setting.get("reference", ()))
    notes = list(comparison.notes)
    metrics = metrics_of(comparison)
    if comparison.reference is not None and not reference:
        metrics = [metric for metric in metrics if "reference" not in metric.needs]
        notes.append("the reference is not drawn yet; what compares with it is left out")
    if comparison.metrics is None:
        last = pictures_of(folder, by_setting[comparison.settings[-1].name])
        partnered = _partnered(last, pictures_of(folder, by_setting[comparison.settings[0].name]))
        metrics, left_out = usable(metrics, partnered, tools, reference)
        notes += [f"{name} is left out: {why}" for name, why in left_out.items()]

    answer: dict[str, Measured] = {}
    first: Evaluation | None = None
    pictures_of_first: list[Picture] = []
    for number, setting in enumerate(comparison.settings):
        mine = by_setting[setting.name]
        pictures = pictures_of(folder, mine)
        if first is None:
            pictures_of_first = pictures
            chosen = [metric for metric in metrics if "partner" not in metric.needs]
        else:
            pictures, chosen = _partnered(pictures, pictures_of_first), metrics
        progress = None if told is None else _telling(told, setting.title, number, len(comparison.settings))
        found = evaluate(pictures, chosen, tools, reference, progress)
        notes += [line for line in found.notes if line not in notes]
        differences = {} if first is None else _differences(found, first)
        runs = [(folder.told(job) or {})["run"] for job in mine]
        answer[setting.name] = Measured(mine, found, differences, runs)
        first = first or found
    return metrics, answer, notes + common_device(answer.values())[1]


def _partnered(pictures: Sequence[Picture], partners: Sequence[Picture]) -> list[Picture]:
    return [replace(each, partner=other.path) for each, other in zip(pictures, partners, strict=True)]


def _differences(found: Evaluation, first: Evaluation) -> dict[str, Score]:
    common = [name for name in found.sampled if name in first.sampled]
    return {name: difference(found.sampled[name], first.sampled[name]) for name in common}


def _telling(told: Told, title: str, number: int, count: int) -> Callable[[int, int, str], None]:
    def progress(done: int, of: int, what: str) -> None:
        told(f"{title} ({number + 1}/{count}): {what}", done, of)

    return progress


def costs(runs: Sequence[Mapping[str, Any]], device: str | None = None) -> dict[str, dict[str, float] | None]:
    """What a picture cost: the median over the pictures, between the quartiles; memory is the largest.

    The first picture of a process, which takes longer than its like, is left out where there are others.

    Args:
        runs: What each picture's run cost.
        device: Count seconds and memory of those alone that were drawn on it; None is all.
    """
    passes = [float(run["forward-passes"]) for run in runs]
    runs = [run for run in runs if device is None or device_of(run) == device]
    warm = [run for run in runs if run["warm"]] or list(runs)
    seconds = [float(run["seconds"]) for run in warm]
    memory = [float(run["peak-memory"]) for run in runs if run.get("peak-memory")]
    low, _, high = quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else [seconds[0]] * 3
    return {
        "seconds": {"value": median(seconds), "low": low, "high": high},
        "forward-passes": {"value": median(passes), "low": min(passes), "high": max(passes)},
        "peak-memory": {"value": max(memory), "low": min(memory), "high": max(memory)} if memory else None,
    }


def device_of(run: Mapping[str, Any]) -> str:
    """What a picture was drawn on."""
    return str(run.get("device") or "an unknown device")


def common_device(measured: Iterable[Measured]) -> tuple[str | None, list[str]]:
    """The kind of device that costs are told of, so that those of all settings can be compared.

    Args:
        measured: What was measured of each setting.

    Returns:
        The one on which each setting has pictures, the most of those of the setting with the fewest; None where all
        pictures were drawn on one kind, or where there is no such. And what a reader should know of it.
    """
    counts = [Counter(device_of(run) for run in each.runs) for each in measured]
    whole = sum(counts, Counter[str]())
    if len(whole) < 2:
        return None, []
    drawn = ", ".join(f"{count:,} on {name}" for name, count in whole.most_common())
    common = [name for name in whole if all(each[name] for each in counts)]
    if not common:
        return None, [f"seconds and memory mix devices, since no device drew pictures of every setting: {drawn}"]
    chosen = max(common, key=lambda name: (min(each[name] for each in counts), whole[name]))
    return chosen, [f"pictures were drawn on several devices ({drawn}); seconds and memory are of {chosen} alone"]
