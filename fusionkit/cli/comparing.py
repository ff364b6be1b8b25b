"""What `fusionkit compare` does once it is asked."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from fusionkit.cli.common import aside, counted, say_notes, table
from fusionkit.cli.drawing import drawing
from fusionkit.cli.workers import Share, asked_workers
from fusionkit.comparison.claims import Claim, Claims
from fusionkit.comparison.document import find_comparison, read_comparison
from fusionkit.comparison.folder import KEPT, Folder
from fusionkit.comparison.jobs import Job, checked_settings, jobs_of, notes_of_settings
from fusionkit.comparison.measure import Measured, Told, check_metrics, measure
from fusionkit.comparison.report import write_report
from fusionkit.comparison.spec import SEEDS, Comparison, collected, compared, parse_changes
from fusionkit.comparison.together import MEASURING, draw_together, finishing, in_order_of
from fusionkit.errors import Cancelled, FusionError, RecipeError
from fusionkit.evaluation import Metric, Score, Tools

SHOWN = 10
"""The most files that one line names."""


def compare(
    recipes: Sequence[str],
    *,
    part: tuple[int, int] | None,
    show: bool,
    clear: bool,
    quiet: bool,
    workers: int | None,
    cluster: str | None,
    share: Share | None,
    open_cluster: bool,
    **options: Any,
) -> None:
    """Read, check, draw, measure and show."""
    comparison, name = asked(recipes, **options)
    folder = Folder(options["out"] or Path("out", "compare", name))
    checked = aside(checked_settings, comparison)
    jobs = jobs_of(comparison, checked)
    asked_for = [job.recipe for job in {job.setting.name: job for job in jobs}.values()]
    helped = asked_workers(workers, cluster, open_cluster, share, recipes=asked_for)
    tools = make_tools(comparison, folder, options["weights"], options["device"])
    problems: list[str] = folder.problems(jobs, replace=clear)
    if clear and (show or part):
        problems.append("--replace: deletes what --show shows and what other parts draw; give it alone")
    collected(problems, lambda: check_metrics(comparison, folder, jobs, tools))
    if problems:
        raise RecipeError(problems)
    say_notes(notes_of_settings(comparison, checked))
    with folder.claims() as claims:
        try:
            if clear:
                clear_away(folder, claims)
            tell_lost(folder, jobs, show)
            if not show:
                folder.claim(comparison.title, jobs)
                with drawing(helped, folder, jobs, claims, quiet, alone=part is None) as some:
                    drawn = draw_here(folder, in_order_of(jobs, *part or (1, 1)), claims, some, quiet)
                if drawn is None:
                    who = claims.holder(finishing(jobs))
                    click.echo(f"{progress_of(folder, jobs)}; {who.who if who else 'another process'} measures them")
                    return
                if part and not drawn and folder.is_measured(jobs):
                    claims.clear(claimed_by(jobs))
                    click.echo(str(folder.path / "index.html"))
                    return
                folder.tidy()
            with measuring(shown=not quiet) as told, claims.waiting(MEASURING):
                metrics, measured, notes = measure(comparison, folder, jobs, tools, told)
                command = shlex.join(["fusionkit", *sys.argv[1:]])
                lost = {*folder.damaged(jobs), *folder.changed(jobs)}
                whole = [job for job in jobs if folder.file(job) not in lost]
                page = write_report(comparison, folder, whole, metrics, measured, notes, command)
            if all(folder.has(job) for job in jobs):
                claims.clear(claimed_by(jobs))
        except KeyboardInterrupt:
            raise Cancelled(f"interrupted; {progress_of(folder, jobs)}; the same command goes on from there") from None
    if not quiet:
        click.echo(scores_table(comparison, metrics, measured))
        for note in notes:
            click.echo(f"note: {note}")
    click.echo(str(page))


def clear_away(folder: Folder, claims: Claims) -> None:
    """Delete another comparison that is in the folder.

    Raises:
        FusionError: Somebody draws it.
    """
    if (somebody := claims.anybody()) is not None:
        raise FusionError(f"{folder.path}: {somebody.who} is drawing into it; wait for it, or end it")
    claims.clear_all()
    tell_kept(folder.clear())


def draw_here(
    folder: Folder, jobs: Sequence[Job], claims: Claims, draw: Callable[[Sequence[Job]], int], quiet: bool
) -> int | None:
    """Draw what nobody else draws; how many that were, or None where another process sees all drawn."""

    def waits(count: int, holder: Claim) -> None:
        if not quiet:
            click.echo(f"waiting for {counted(count, 'picture')} that others draw, such as {holder.who}", err=True)

    return draw_together(folder, jobs, claims, draw, waits)


def claimed_by(jobs: Sequence[Job]) -> list[str]:
    """The names of all claims of a comparison."""
    return [*(job.file for job in jobs), finishing(jobs), MEASURING]


def tell_kept(paths: Sequence[Path]) -> None:
    """Say which files of another comparison's folder were not deleted."""
    if paths:
        line = "not written by fusionkit, or changed since, and kept"
        click.echo(f"{line}: {several(paths)}", err=True)


def tell_lost(folder: Folder, jobs: Sequence[Job], show: bool) -> None:
    """Say which pictures can't be read any more, or are others than were drawn, and what comes of that."""
    what = "left out; without --show they are drawn again" if show else "drawn again"
    aside = "" if show else f", kept in {folder.path / KEPT},"
    for said, paths in (
        ("empty or damaged,", folder.damaged(jobs)),
        (f"not as drawn{aside or ','}", folder.changed(jobs)),
    ):
        if paths:
            click.echo(f"{said} and {what}: {several(paths)}", err=True)


def several(paths: Sequence[Path]) -> str:
    """The first few paths, and how many more there are."""
    more = f" and {len(paths) - SHOWN:,} more" if len(paths) > SHOWN else ""
    return ", ".join(map(str, paths[:SHOWN])) + more


def asked(recipes: Sequence[str], **options: Any) -> tuple[Comparison, str]:
    """The comparison that the command line asks for, and its short name."""
    problems: list[str] = []
    files = {source: path for source in recipes if (path := find_comparison(source)) is not None}
    if files and len(recipes) > 1:
        problems.append(f"{next(iter(files))}: is a comparison of its own; give it alone, or give recipes")
    given = [
        f"--{key.replace('_', '-')}" for key in ("vary", "prompts", "reference", "reference_seeds") if options[key]
    ]
    if files and given:
        problems.append(f"{', '.join(given)}: a comparison file says that itself; change it there")
    if problems:
        raise RecipeError(problems)
    metrics = None if options["metrics"] is None else [each.strip() for each in options["metrics"].split(",")]
    if not files:
        names = ("sets", "device", "vary", "prompts", "reference", "reference_seeds", "features")
        own = {key: options[key] for key in names}
        found = compared(recipes, seeds=options["seeds"] or SEEDS, metrics=metrics, **own)
        return found, "+".join(dict.fromkeys(Path(each).stem for each in recipes))[:60]
    ((_, path),) = files.items()
    found = read_comparison(path, parse_changes(options["sets"], options["device"]), options["seeds"])
    changes = {"metrics": metrics, "features": options["features"]}
    return replace(found, **{key: value for key, value in changes.items() if value is not None}), path.stem


def make_tools(comparison: Comparison, folder: Folder, weights: Sequence[str], device: str | None) -> Tools:
    """What the metrics share; the features of pictures are kept in the comparison's folder.

    Raises:
        RecipeError: A local file of weights is unknown or missing.
    """
    from fusionkit.cli.evaluate import weight_files

    features = {} if comparison.features is None else {"features": comparison.features}
    cache = folder.path / ".features"
    return Tools(
        **features,
        device=device or "auto",
        weights=weight_files(weights),
        cache=cache,
        download=comparison.metrics is not None,
    )


@contextmanager
def measuring(shown: bool) -> Iterator[Told | None]:
    """A progress bar for what is measured."""
    if not shown:
        yield None
        return
    from fusionkit.runs.bars import progress_bar

    with progress_bar(unit="", leave=False, bar_format="{desc} {n_fmt}/{total_fmt} [{elapsed}]") as bar:

        def told(what: str, done: int, total: int) -> None:
            bar.set_description_str(what, refresh=False)
            bar.total = total
            bar.update(done - bar.n)

        yield told


def scores_table(comparison: Comparison, metrics: Sequence[Metric], measured: Mapping[str, Measured]) -> str:
    """The scores, a row a setting, with half the interval's width."""
    heads = ["", *(f"{metric.title}{_arrow(metric)}" for metric in metrics)]
    rows = [
        [setting.title, *(shown(measured[setting.name].evaluation.scores.get(each.metric_name)) for each in metrics)]
        for setting in comparison.settings
    ]
    return table([heads, *rows])


def _arrow(metric: Metric) -> str:
    return {"lower": " (low)", "higher": " (high)", "closer-to-1": " (1)"}.get(metric.better, "")


def shown(score: Score | None) -> str:
    """`3.2 ±0.3`, or a dash."""
    if score is None or score.value != score.value:
        return "-"
    reach = (score.high - score.low) / 2
    return f"{score.value:.3g}" if reach != reach else f"{score.value:.3g} ±{reach:.2g}"


def progress_of(folder: Folder, jobs: Sequence[Job]) -> str:
    """`12 of 40 pictures are drawn`."""
    drawn = sum(folder.has(job) for job in jobs)
    return f"{drawn:,} of {counted(len(jobs), 'picture')} are drawn in {folder.path}"
