"""`fusionkit bench`: what a recipe costs on this machine, and what beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fusionkit.cli.common import aside, read, recipe_options, tell_notes
from fusionkit.errors import FusionError, RecipeError

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo
    from fusionkit.recipe.recipe_file import RecipeFile
    from fusionkit.runs.plan import RunPlan

T = TypeVar("T")


@click.command("bench", short_help="Measure what a recipe costs, and against what.")
@click.argument("recipe", metavar="RECIPE")
@recipe_options
@click.option("--runs", type=click.IntRange(min=1), default=5, show_default=True, help="How often each is timed.")
@click.option(
    "--baseline",
    "names",
    multiple=True,
    metavar="NAME",
    help="Measure it against this, as often as needed: forward-passes, single, diffusers-panorama, unmeasured, or "
    'another recipe, with changes if need be: "panorama steps=20".',
)
@click.option("--json", "to", type=click.Path(path_type=Path), metavar="FILE", help="Write all figures to a file.")
@click.option("--overwrite", is_flag=True, help="Replace an existing FILE.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
def command(
    recipe: str,
    sets: tuple[str, ...],
    seed: int | None,
    device: str | None,
    download: bool,
    runs: int,
    names: tuple[str, ...],
    to: Path | None,
    overwrite: bool,
    quiet: bool,
    **shorthands: Any,
) -> None:
    """Measure where a recipe's seconds go, its forward passes and its memory, on this machine.

    RECIPE is a file, the name of a bundled recipe (see 'fusionkit recipes'), or - for standard input; of several
    prompts the first counts.
    Baselines are timed in turn with it, so that whatever else the machine does slows down all of them. --set, --seed,
    --prompt, --steps and --size change RECIPE; --device is for all.
    """
    from fusionkit.bench.baselines import find, problems_of
    from fusionkit.pictures.files import unwritable, write_whole
    from fusionkit.runs.checks import check_file

    problems = [line] if to is not None and (line := unwritable(to, overwrite)) else []

    def ask(question: Callable[..., T], *of: Any) -> T | None:
        try:
            return question(*of)
        except FusionError as error:
            problems.extend(str(error).splitlines())
            return None

    file = ask(lambda: read(recipe, sets, download, seed=seed, device=device, **shorthands))
    checked = None if file is None else ask(aside, check_file, file)
    infos = None if checked is None else checked.infos
    asked = [ask(find, name, {"device": device}) for name in names]
    baselines = [baseline for baseline in asked if baseline is not None]
    plan = None if file is None or infos is None else ask(planned, file, infos)
    if plan is not None:
        problems += problems_of(baselines, plan)
    if problems or file is None or checked is None or infos is None:
        raise RecipeError(problems)
    tell_notes(file, checked.notes)

    import json

    from fusionkit.bench.bench import bench
    from fusionkit.cli.costs import described

    report = aside(bench, file.recipes[0], infos, baselines, runs, progress=not quiet)
    click.echo(described(report))
    if to is not None:
        written = write_whole(to, json.dumps(report.as_json(), indent=1) + "\n", replace=overwrite)
        click.echo(f"\nwritten: {written}")


def planned(file: RecipeFile, infos: Mapping[str, ModelInfo]) -> RunPlan:
    """The plan of a file's first recipe.

    Raises:
        RecipeError: It can't be run; all problems, each with its place in the file.
    """
    from fusionkit.bench import bench

    try:
        return bench.planned(file.recipes[0], infos)
    except RecipeError as error:
        raise RecipeError(file.located(problem) for problem in error.problems) from error
