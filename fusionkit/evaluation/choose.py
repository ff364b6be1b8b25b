"""Which metrics, with which options: those that are named, or all that these pictures allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from fusionkit.errors import FusionError, RecipeError, did_you_mean
from fusionkit.foreign import guarded
from fusionkit.recipe.problems import options_of, problems_of

if TYPE_CHECKING:
    from fusionkit.evaluation.metric import Metric
    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools


def make_metrics(names: Sequence[str] | None = None, sets: Sequence[str] = ()) -> list[Metric]:
    """Metrics with options such as `ssim.window=7`.

    Args:
        names: The metrics; None for all that are installed and can be imported.
        sets: Options, each `METRIC.OPTION=VALUE`.

    Raises:
        RecipeError: An unknown metric or option, or a value that does not fit; all problems.
    """
    from fusionkit.evaluation.registry import METRICS

    if names is None:
        names = list(METRICS.load_all()[0])
    problems: list[str] = []
    options = _options(sets, names, problems)
    metrics: list[Metric] = []
    for name in dict.fromkeys(names):
        try:
            kind = METRICS.load(name)
            known = options_of(kind)
            given = options.get(name, {})
            problems += [
                f"metric '{name}' has no option '{each}'" + (did_you_mean(each, known) or f"; it has {_or_none(known)}")
                for each in given
                if each not in known
            ]
            with guarded(f"metric '{name}' failed in its options", but=ValidationError):
                metrics.append(kind.model_validate({key: value for key, value in given.items() if key in known}))
        except ValidationError as error:
            problems += problems_of(error, kind, f"metric {name}")
        except FusionError as error:
            problems += str(error).splitlines()
    if problems:
        raise RecipeError(dict.fromkeys(problems))
    return metrics


def usable(
    metrics: Sequence[Metric], pictures: Sequence[Picture], tools: Tools, reference: Sequence[Picture] = ()
) -> tuple[list[Metric], dict[str, str]]:
    """Those of some metrics that can score these pictures, and of every other one why not, by its name.

    Args:
        metrics: The metrics to choose from.
        pictures: The set.
        tools: What metrics share.
        reference: The set to compare with.
    """
    from fusionkit.evaluation.evaluate import metric_problems

    able: list[Metric] = []
    left_out: dict[str, str] = {}
    for metric in metrics:
        try:
            problems = metric_problems(metric, pictures, reference, tools)
        except FusionError as error:
            problems = str(error).splitlines()
        if problems:
            left_out[metric.metric_name] = "; ".join(problems)
        else:
            able.append(metric)
    return able, left_out


def check_weights(weights: Mapping[str, Path]) -> list[str]:
    """What is wrong with local files of weights, by name; one line each."""
    from fusionkit.evaluation.registry import FEATURES, METRICS

    kinds: list[type[Any]] = [*FEATURES.load_all()[0].values(), *METRICS.load_all()[0].values()]
    known = sorted({*FEATURES.entries, *(name for kind in kinds for name in kind.weights)})
    unknown = [name for name in weights if name not in known]
    return [
        *(f"no weights '{name}'{did_you_mean(name, known) or f'; there are {_or_none(known)}'}" for name in unknown),
        # A folder will do for a model of several files.
        *(f"weights '{name}': no such file: '{path}'" for name, path in weights.items() if not path.exists()),
    ]


def _or_none(words: Sequence[str]) -> str:
    return ", ".join(words) or "none"


def _options(sets: Sequence[str], names: Sequence[str], problems: list[str]) -> Mapping[str, dict[str, Any]]:
    """Options by metric from `METRIC.OPTION=VALUE`; values as YAML has them."""
    from fusionkit.recipe.document import parse_yaml

    found: dict[str, dict[str, Any]] = {}
    for change in sets:
        key, equals, text = change.partition("=")
        name, dot, option = key.strip().partition(".")
        if not (equals and dot and name and option):
            problems.append(f"--set {change}: must be METRIC.OPTION=VALUE, such as ssim.window=7")
        elif name not in names:
            problems.append(f"--set {change}: metric '{name}' is not evaluated{did_you_mean(name, names)}")
        else:
            try:
                found.setdefault(name, {})[option] = parse_yaml(text, f"--set {change}").plain()
            except RecipeError as error:
                problems += error.problems
    return found
