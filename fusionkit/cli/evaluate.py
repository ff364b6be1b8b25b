"""`fusionkit evaluate`: score a folder of pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fusionkit.cli.common import aside
from fusionkit.cli.scores import each_table, list_metrics, notes, scores_table
from fusionkit.cli.workers import asked_workers, pool_options
from fusionkit.errors import Cancelled, FusionError, RecipeError
from fusionkit.foreign import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fusionkit.evaluation import Metric, Picture, Tools
    from fusionkit.evaluation.report import Report

T = TypeVar("T")


@click.command("evaluate", short_help="Score a folder of pictures.")
@click.argument("folder", metavar="DIR", required=False, type=click.Path(path_type=Path))
@click.option(
    "--reference",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Pictures to compare with: as a set, and one by one where names are the same.",
)
@click.option("--metrics", metavar="A,B,...", help="What to measure; by default all that these pictures allow.")
@click.option(
    "--features",
    metavar="NAME",
    default="inception",
    help="The network that looks at crops: inception, the default, or vista or tinyworld, which need no download.",
)
@click.option(
    "--weights",
    multiple=True,
    metavar="NAME=FILE",
    help="A local file of weights that would otherwise be downloaded, such as inception=FILE; as often as needed.",
)
@click.option("--crop", metavar="WxH", help="The size the model was trained at, where the pictures do not say it.")
@click.option("--stride", type=click.IntRange(min=1), metavar="N", help="Pixels from view to view, likewise.")
@click.option(
    "--set", "sets", multiple=True, metavar="METRIC.OPTION=VALUE", help="An option of a metric, as often as needed."
)
@click.option("--device", metavar="NAME", default="auto", help="Where to compute: auto, cpu, cuda, cuda:1, mps, ...")
@click.option(
    "--cache", metavar="DIR", type=click.Path(path_type=Path), help="Keeps the crops' features there for the next time."
)
@click.option(
    "--trust",
    is_flag=True,
    help="Open what the pictures' own recipes name, such as a model's folder. Downloads nothing.",
)
@pool_options
@click.option("--each", is_flag=True, help="Print each picture's own values too, the best by the first metric first.")
@click.option("--json", metavar="FILE", type=click.Path(path_type=Path), help="Write everything measured as JSON.")
@click.option("--csv", metavar="FILE", type=click.Path(path_type=Path), help="Write everything measured as CSV.")
@click.option("--overwrite", is_flag=True, help="Replace these files where they exist.")
@click.option("--list", "listing", is_flag=True, help="List the metrics with what they need, and their options.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no notes.")
def command(folder: Path | None, listing: bool, each: bool, quiet: bool, **options: Any) -> None:
    """Score the pictures of a folder, each score with its 95 % interval.

    Pictures that fusionkit wrote tell by themselves what made them. Without --metrics everything is measured that needs
    nothing more than is there, and the rest is named with the reason; nothing is downloaded unless its metric is named.
    """
    if listing:
        click.echo(aside(list_metrics))
        return
    if folder is None:
        raise click.UsageError("Missing argument 'DIR', the folder of pictures; or give --list.")
    report = aside(measure, folder, quiet, **options)
    click.echo(scores_table(report.metrics, report.evaluation))
    if each:
        click.echo(f"\n{each_table(report)}")
    if not quiet:
        for line in notes(report):
            click.echo(printable(line))
    failed: list[str] = []
    for path, text in ((options["json"], report.json), (options["csv"], report.csv)):
        if path is not None:  # where one can't be written, the other one may still find its place
            _answer(failed, partial(write, path, text(), options["overwrite"], quiet))
    if failed:
        raise FusionError("\n".join(failed))


def measure(
    folder: Path,
    quiet: bool,
    *,
    reference: Path | None,
    metrics: str | None,
    features: str,
    weights: Sequence[str],
    crop: str | None,
    stride: int | None,
    sets: Sequence[str],
    device: str,
    cache: Path | None,
    trust: bool,
    workers: int | None,
    cluster: str | None,
    open_cluster: bool,
    **outputs: Any,
) -> Report:
    """Evaluate a folder as the command line says; everything that is wrong with that is said at once.

    Raises:
        RecipeError: All problems.
        Cancelled: Ctrl-C.
    """
    from fusionkit.evaluation import Tools, evaluate, make_metrics, read_pictures
    from fusionkit.evaluation.registry import FEATURES
    from fusionkit.evaluation.report import Report

    problems = output_problems([outputs["json"], outputs["csv"]], outputs["overwrite"])
    ask = partial(_answer, problems)
    helped = ask(lambda: asked_workers(workers, cluster, open_cluster, device=device))
    size = ask(lambda: crop_size(crop))
    local = ask(lambda: weight_files(weights)) or {}
    names = ask(lambda: metric_names(metrics))
    chosen = ask(lambda: make_metrics(names, sets))
    ask(lambda: FEATURES.load(features))
    ask(lambda: known_device(device))
    pictures = ask(lambda: read_pictures(folder, crop=size, stride=stride, partner=reference, trust=trust))
    # The reference's crops are of the size of the pictures' own, whatever drew it.
    size = size or (pictures[0].crop if pictures else None)
    compared: list[Picture] | None = []
    if reference is not None:
        compared = ask(lambda: read_pictures(reference, crop=size, stride=stride, trust=trust))
    if problems or pictures is None or compared is None or chosen is None:
        raise RecipeError(dict.fromkeys(problems))

    tools = Tools(features, device=device, weights=local, cache=cache, download=names is not None)
    chosen, left_out = (chosen, {}) if names is not None else _usable(chosen, pictures, tools, compared)
    try:
        with progress(quiet) as bar, nullcontext() if helped is None else helped.pool(device) as pool:
            evaluation = evaluate(pictures, chosen, tools, compared, bar, pool=pool)
    except KeyboardInterrupt:
        raise Cancelled("interrupted; nothing was written") from None
    return Report(evaluation, chosen, pictures, folder, reference, tools.features_name, left_out, local)


def _answer(problems: list[str], ask: Callable[[], T]) -> T | None:
    """What a function answers; what it complains of is added to the problems, and None is answered."""
    try:
        return ask()
    except FusionError as error:
        problems.extend(str(error).splitlines())
        return None


def _usable(
    metrics: Sequence[Metric], pictures: Sequence[Picture], tools: Tools, reference: Sequence[Picture]
) -> tuple[list[Metric], dict[str, str]]:
    """The metrics that can score the pictures, and of all others that are installed why not.

    Raises:
        RecipeError: There is none that can.
    """
    from fusionkit.evaluation import usable
    from fusionkit.evaluation.registry import METRICS

    able, left_out = usable(metrics, pictures, tools, reference)
    left_out |= METRICS.load_all()[1]
    if not able:
        raise RecipeError([f"{name}: {reason}" for name, reason in left_out.items()])
    return able, left_out


def metric_names(text: str | None) -> list[str] | None:
    """`--metrics A,B` as names; None where it is not given.

    Raises:
        RecipeError: It names none.
    """
    from fusionkit.evaluation.registry import METRICS

    if text is None:
        return None
    if names := [name.strip() for name in text.split(",") if name.strip()]:
        return names
    raise RecipeError([f"--metrics names none; there are {', '.join(METRICS.entries)}"])


def known_device(name: str) -> None:
    """Whether a device can be meant; torch is not asked whether it is there.

    Raises:
        RecipeError: It is no device's name.
    """
    from fusionkit.recipe.values import check_device

    try:
        check_device(name)
    except ValueError as error:
        raise RecipeError([f"--device {error}"]) from None


def crop_size(text: str | None) -> tuple[int, int] | None:
    """`--crop` as (width, height) in pixels; None where it is not given.

    Raises:
        RecipeError: It is no size.
    """
    from fusionkit.recipe.recipe import parse_size

    if text is None:
        return None
    try:
        width, height = parse_size(text)
    except ValueError as error:
        raise RecipeError([f"--crop {error}"]) from None
    if min(width, height) < 1:
        raise RecipeError([f"--crop must be at least 1x1 pixels, not {text}"])
    return width, height


def weight_files(given: Sequence[str]) -> dict[str, Path]:
    """`--weights NAME=FILE` by name.

    Raises:
        RecipeError: One is not of that form, of no known name, or no file; all problems.
    """
    from fusionkit.evaluation.choose import check_weights

    problems, files = [], {}
    for each in given:
        name, equals, path = each.partition("=")
        if equals and name and path:
            files[name] = Path(path).expanduser()
        else:
            problems.append(f"--weights {each}: write it as NAME=FILE, such as inception=weights.pth")
    if files:
        problems += check_weights(files)
    if problems:
        raise RecipeError(problems)
    return files


def output_problems(paths: Iterable[Path | None], overwrite: bool) -> list[str]:
    """Why files could not be written, one line each."""
    from fusionkit.pictures.files import unwritable

    given = [path for path in paths if path is not None]
    problems = [line for path in given if (line := unwritable(path, overwrite))]
    if len(given) > len({path.resolve() for path in given}):
        problems.append(f"--json and --csv are both '{given[0]}'; give two files")
    return problems


def write(path: Path, text: str, overwrite: bool, quiet: bool) -> None:
    """Write a file, whole or not at all, and say so; beside one that has come to exist meanwhile.

    Raises:
        FusionError: It can't be written.
    """
    from fusionkit.pictures.files import write_whole

    written = write_whole(path, text, replace=overwrite)
    if written != path:
        click.echo(f"'{path}' exists by now and is kept", err=True)
    if not quiet or written != path:
        click.echo(f"wrote {written}", err=True)


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[int, int, str], None] | None]:
    """A bar with the time left: over the pictures, and then over the resamples of each interval."""
    if quiet:
        yield None
        return
    from fusionkit.runs.bars import progress_bar

    bars: dict[str, Any] = {}

    def show(done: int, total: int, what: str) -> None:
        if what not in bars:
            for bar in bars.values():
                bar.close()
            unit, leave = ("picture", True) if what == "pictures" else ("resample", False)
            title = "pictures" if what == "pictures" else f"interval of {what}"
            bars[what] = progress_bar(total=total, desc=title, unit=unit, leave=leave)
        bars[what].update(done - bars[what].n)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()
