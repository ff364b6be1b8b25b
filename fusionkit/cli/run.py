"""`fusionkit run`: make the pictures of a recipe."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from fusionkit.cli.as_json import json_option, of_run, print_json
from fusionkit.cli.common import aside, given, recipe_options, tell_notes
from fusionkit.cli.keeping import keeping, keeping_options
from fusionkit.cli.many import many_options, prompts_in, sheet_of, spread
from fusionkit.cli.workers import Share, asked_workers, only_views, workers_options


@click.command("run", short_help="Make the picture of a recipe.")
@click.argument("recipe", metavar="RECIPE")
@recipe_options
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="Where the picture goes: a folder, or a path that may hold {recipe}, {seed}, {index}, ...",
)
@click.option("--overwrite", is_flag=True, default=None, help="Replace an existing file instead of adding a number.")
@click.option(
    "--skip-existing",
    is_flag=True,
    help="Draw only the pictures that are not there yet: a whole one of the same recipe, under its name, is kept.",
)
@click.option(
    "--preview",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep a small picture of how far it is in FILE, replaced as the run goes on; an image viewer follows it.",
)
@click.option(
    "--preview-every",
    type=int,
    metavar="K",
    help="Write a preview beside the picture every K steps; with --preview, replace that one instead.",
)
@click.option(
    "--save-maps",
    "--save-masks",
    is_flag=True,
    help="Write the plugins' pictures of how they worked beside the picture.",
)
@keeping_options
@many_options
@workers_options
@click.option("-q", "--quiet", is_flag=True, help="Print the path of each picture and nothing else.")
@json_option
def command(
    recipe: str,
    sets: tuple[str, ...],
    output: str | None,
    save_maps: bool,
    quiet: bool,
    skip_existing: bool,
    checkpoint_every: float,
    resume: bool,
    seeds: str | None,
    prompts: str | None,
    pick: str | None,
    preview: Path | None,
    workers: int | None,
    cluster: str | None,
    share: Share | None,
    open_cluster: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Make the picture of a recipe.

    RECIPE is a file, the name of a bundled recipe (see 'fusionkit recipes'), a picture that fusionkit drew, whose
    recipe is inside, or - for a recipe from standard input. Everything is checked before the model loads. Ctrl-C ends
    the run and keeps what is finished, and how far it came: --resume goes on from there.
    """
    from fusionkit.cli.from_picture import as_batched, check_kept, check_preview, tell_of
    from fusionkit.errors import RecipeError
    from fusionkit.runs.checks import check_file

    if output is not None and (output.endswith(("/", os.sep)) or os.path.isdir(output)):
        output = os.path.join(output, "{recipe}-{seed}.png")
    if seeds is not None and options["seed"] is not None:
        raise RecipeError(["--seed and --seeds: give one of them"])
    if prompts is not None:
        if options["prompt"] is not None:
            raise RecipeError(["--prompt and --prompts: give one of them"])
        options["prompt"] = prompts_in(prompts)
    asked = given(recipe, sets, output=output, **options)
    file = spread(asked.file, seeds, pick)
    helped = asked_workers(workers, cluster, open_cluster, share, recipes=file.recipes)
    followed = {"--preview": preview, "--preview-every": file.recipes[0].preview_every, "--resume": resume}
    share = only_views(followed, share) if helped is not None else None
    checked = aside(check_file, file, skip_existing=skip_existing)
    check_kept(file, asked.carriers)
    check_preview(preview, file, asked.carriers)
    notes = tell_notes(file, checked.notes)
    tell_of(asked.carriers, file, asked.opened, quiet=quiet)

    from fusionkit.cli.pictures import make_pictures

    together = as_batched(asked.carriers, file)
    say = (lambda _: None) if as_json else click.echo
    kept = keeping(checkpoint_every, resume)
    how: dict[str, Any] = {"skip_existing": skip_existing, "say": say}
    told: dict[str, Any] = {}
    if helped is None:
        drawn = make_pictures(file, quiet, save_maps, *together, keeping=kept, preview=preview, **how)
    else:
        from fusionkit.cli.on_workers import make_on

        drawn, told = make_on(replace(helped, share=share), file, quiet, save_maps, together, kept, preview, how)
    sheet = None
    if (seeds is not None or prompts is not None) and pick is None and len(drawn) > 1:
        several = len(asked.file.recipes) > 1 and len(drawn) > len(asked.file.recipes)
        columns = len(drawn) // len(asked.file.recipes) if several else None
        sheet = sheet_of([(each.path, each.recipe) for each in drawn], columns, asked.file.recipes[0].output)
        if not quiet:
            say(f"{sheet}\n  all {len(drawn)} on one sheet; --pick NUMBER draws one of them")
    if as_json:
        print_json({**of_run(drawn, notes, sheet), **told})
