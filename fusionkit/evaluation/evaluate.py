"""Evaluates a set of pictures: everything checked first, each picture described once, each score with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

from fusionkit.errors import PluginError, RecipeError
from fusionkit.evaluation.asking import asked, described_by
from fusionkit.evaluation.intervals import Sampled, Score, Strata, bootstrap, groups_of, mean, taken
from fusionkit.evaluation.libraries import missing
from fusionkit.evaluation.metric import Metric
from fusionkit.evaluation.needs import grouped, named

if TYPE_CHECKING:
    from fusionkit.distributed.pool import Pool
    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

Progress = Callable[[int, int, str], None]
"""Called with how much is done, of how much, and what: "pictures", or the metric whose interval is computed."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured of a set of pictures, by the metrics' names.

    Args:
        sampled: The scores with what their intervals are made of, for `difference`.
        each: Each picture's own value, in the pictures' order, NaN where it has none; for those metrics that have one.
        notes: What a reader of the scores should know, one line each.
    """

    sampled: Mapping[str, Sampled]
    each: Mapping[str, Sequence[float]]
    notes: Sequence[str]

    @property
    def scores(self) -> dict[str, Score]:
        """The scores with their intervals."""
        return {name: found.score for name, found in self.sampled.items()}


def check(
    pictures: Sequence[Picture], metrics: Sequence[Metric], tools: Tools, reference: Sequence[Picture] = ()
) -> list[str]:
    """Why these pictures can't be evaluated, one line each; metrics with the same reason share one."""
    if not pictures:
        return ["there are no pictures to evaluate"]
    problems: list[str] = []
    names = [metric.metric_name for metric in metrics]
    problems += [f"metric '{name}' is there twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    if device := tools.device_problems():
        return [*problems, *device]
    reasons: dict[str, list[str]] = {}
    for metric in metrics:
        for line in metric_problems(metric, pictures, reference, tools):
            reasons.setdefault(line, []).append(metric.metric_name)
    return problems + shared(reasons)


def shared(said: Mapping[str, Sequence[str]]) -> list[str]:
    """Lines with the names of all the metrics that each is of, in front."""
    return [f"{', '.join(names)}: {line}" for line, names in said.items()]


def metric_problems(
    metric: Metric, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools
) -> list[str]:
    """Why one metric can't score these pictures, one line each.

    Raises:
        PluginError: The metric fails where it checks.
    """
    return missing(metric.libraries) or list(dict.fromkeys(asked(metric, "problems", None, pictures, reference, tools)))


def evaluate(
    pictures: Sequence[Picture],
    metrics: Sequence[Metric],
    tools: Tools,
    reference: Sequence[Picture] = (),
    progress: Progress | None = None,
    *,
    strata: Strata = None,
    pool: Pool | None = None,
) -> Evaluation:
    """Score a set of pictures by some metrics, each score with its 95 % interval.

    Args:
        pictures: The set, as from `read_pictures`.
        metrics: The metrics, with their options.
        tools: What they share: the feature network, the device, local weights.
        reference: The set to compare with, for the metrics that do.
        progress: Called after each picture, and after each resample of an interval.
        strata: For each picture the group that it is of, for the intervals; None groups by prompt where all are known.
        pool: Workers that describe the pictures, for which no features are kept; None does so here.

    Raises:
        RecipeError: A metric can't score these pictures; all problems, before anything is computed.
        PluginError: A metric failed.
    """
    if problems := check(pictures, metrics, tools, reference):
        raise RecipeError(problems)
    referring = [metric for metric in metrics if "reference" in metric.needs]
    total = len(pictures) + (len(reference) if referring else 0)
    described = _describe(pictures, metrics, tools, progress, 0, total, pool)
    compared = _describe(reference if referring else (), referring, tools, progress, len(pictures), total, pool)

    reference_strata = prompts_of(reference)
    if strata is None:
        strata = prompts_of(pictures)
    scores, each = {}, {}
    notes: dict[str, list[str]] = {}
    for metric in metrics:
        name = metric.metric_name
        scores[name] = score(
            metric,
            described[name],
            compared.get(name, ()),
            progress,
            strata=strata,
            reference_strata=reference_strata,
        )
        values = [_number(metric, "each", asked(metric, "each", None, found)) for found in described[name]]
        if _are_numbers(described[name]) or not all(map(isnan, values)):
            each[name] = values
        for note in _notes(metric, scores[name].score, described[name], each.get(name, ()), pictures):
            notes.setdefault(note, []).append(name)
    return Evaluation(scores, each, [*_picture_notes(pictures, strata), *shared(notes)])


def prompts_of(pictures: Sequence[Picture]) -> Strata:
    """Each picture's prompt, as the strata of an interval; None where one is not known."""
    prompts = [picture.prompt for picture in pictures]
    return None if None in prompts else prompts


def score(
    metric: Metric,
    described: Sequence[Any],
    reference: Sequence[Any] = (),
    progress: Progress | None = None,
    *,
    strata: Strata = None,
    reference_strata: Strata = None,
) -> Sampled:
    """The score of a set from what `describe` answered, with its 95 % interval.

    The interval says how far the score would move with other pictures of the same kind; with strata, of the same kinds
    in the same shares. The reference stays as it is, but for metrics that say that it varies, too.

    Args:
        metric: The metric.
        described: What it answered for the set.
        reference: What it answered for the reference.
        progress: Called after each resample.
        strata: For each picture of the set the group that it is of, such as its prompt; see `groups_of`.
        reference_strata: Likewise of the reference.
    """
    if _is_mean(metric, described):
        return Sampled(mean(described, strata), described, strata)
    counted = _counter(metric, progress)

    def of(indices: Any, others: Any) -> float:
        counted()
        return _scored(metric, taken(described, indices), _resampled(metric, reference, others))

    return bootstrap(
        of,
        len(described),
        metric.resamples,
        reference=_varied(metric, reference),
        strata=strata,
        reference_strata=reference_strata,
    )


def _varied(metric: Metric, reference: Sequence[Any]) -> int:
    """How many pictures of the reference are drawn anew in a resample."""
    return len(reference) if metric.reference_varies else 0


def _resampled(metric: Metric, reference: Sequence[Any], indices: Any) -> Sequence[Any]:
    return taken(reference, indices) if metric.reference_varies else reference


def _describe(
    pictures: Sequence[Picture],
    metrics: Sequence[Metric],
    tools: Tools,
    progress: Progress | None,
    done: int,
    total: int,
    pool: Pool | None = None,
) -> dict[str, list[Any]]:
    """What every metric says of every picture; picture by picture, so that each file is decoded once."""
    if pool is not None:
        from fusionkit.evaluation.on_workers import describe_on

        def told(count: int) -> None:
            if progress is not None:
                progress(done + count, total, "pictures")

        return describe_on(pool, pictures, metrics, tools, told)
    described: dict[str, list[Any]] = {metric.metric_name: [] for metric in metrics}
    for index, picture in enumerate(pictures, 1):
        for name, found in described_by(metrics, picture, tools, picture.path).items():
            described[name].append(found)
        if progress is not None:
            progress(done + index, total, "pictures")
    return described


def _scored(metric: Metric, described: Sequence[Any], reference: Sequence[Any]) -> float:
    return _number(metric, "score", asked(metric, "score", None, described, reference))


def _number(metric: Metric, method: str, answer: Any) -> float:
    """What a metric's method answered, where that must be a number.

    Raises:
        PluginError: It is none.
    """
    try:
        return float(answer)
    except (TypeError, ValueError, OverflowError):
        kind = type(answer).__name__
        raise PluginError(
            f"metric '{metric.metric_name}' answered a {kind} in {method}, which takes a number"
        ) from None


def _are_numbers(described: Sequence[Any]) -> bool:
    return all(isinstance(each, float) for each in described)


def _is_mean(metric: Metric, described: Sequence[Any]) -> bool:
    """Whether the score is the mean of the pictures' own values, whose interval needs no bootstrap."""
    return type(metric).score is Metric.score and _are_numbers(described)


def _counter(metric: Metric, progress: Progress | None) -> Callable[[], None]:
    done = 0

    def counted() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(min(done, metric.resamples), metric.resamples, metric.metric_name)

    return counted


def _notes(
    metric: Metric, score: Score, described: Sequence[Any], values: Sequence[float], pictures: Sequence[Picture]
) -> list[str]:
    """What a reader of one score should know."""
    notes = []
    if without := [picture for picture, value in zip(pictures, values, strict=False) if isnan(value)]:
        notes.append(f"{len(without)} of {len(pictures)} pictures have no value: {named(without)}")
    if score.count > 1 and score.low == score.high:
        notes.append("all pictures score alike, which gives no interval for others")
    if not _is_mean(metric, described) and metric.resamples < Metric.resamples:
        notes.append(f"the interval is from {metric.resamples} resamples, not {Metric.resamples}")
    return notes


def _picture_notes(pictures: Sequence[Picture], strata: Strata) -> list[str]:
    """What a reader should know of how the pictures were read, and of what all intervals are of."""
    by_note = grouped(pictures, lambda picture: picture.note)
    notes = [f"{named(each)}: {note}" for note, each in by_note.items() if note]
    if (groups := len(groups_of(strata, len(pictures)))) > 1:
        notes.append(f"intervals are of other pictures of the same {groups} prompts in the same shares")
    return notes
