"""`fusionkit validate`: check recipes without loading anything."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from fusionkit.cli.as_json import json_option, print_json
from fusionkit.cli.common import aside, counted, given, recipe_options, say_notes, tell_notes


@click.command("validate", short_help="Check recipes without loading a model.")
@click.argument("recipes", nargs=-1, required=True, metavar="RECIPE...")
@recipe_options
@json_option
def command(
    recipes: tuple[str, ...],
    sets: tuple[str, ...],
    seed: int | None,
    device: str | None,
    download: bool,
    as_json: bool,
    **shorthands: Any,
) -> None:
    """Check recipes: everything that is wrong with them, without loading a model.

    RECIPE is a file, the name of a bundled recipe or comparison (see 'fusionkit recipes'), a picture that carries one,
    or - for a recipe from standard input.
    """
    from fusionkit.cli.from_picture import tell_of
    from fusionkit.comparison.document import find_comparison
    from fusionkit.errors import RecipeError
    from fusionkit.recipe.assemble import shown_path
    from fusionkit.runs.checks import check_file
    from fusionkit.runs.plan import completed

    problems: list[str] = []
    found: list[dict[str, Any]] = []

    def say(source: str, what: str, notes: Sequence[str] = ()) -> None:
        found.append({"source": source, "valid": True, "about": what, "problems": [], "notes": list(notes)})
        if not as_json:
            click.echo(f"{source}: valid ({what})")

    for name in recipes:
        try:
            if name != "-" and (path := find_comparison(name)) is not None:
                say(shown_path(path), *checked(path, sets, seed, device, **shorthands))
                continue
            with ExitStack() as within:
                asked = given(name, sets, download, within, seed=seed, device=device, **shorthands)
                file = asked.file
                found_right = aside(check_file, file)
                recipe = completed(file.recipes[0], next(iter(found_right.infos.values())))
                tell_of(asked.carriers, file, asked.opened)
            notes = tell_notes(file, found_right.notes)
        except RecipeError as error:
            problems += error.problems
            found.append({"source": name, "valid": False, "about": None, "problems": error.problems, "notes": []})
            continue
        width, height = recipe.size
        parts = [counted(len(file.recipes), "picture"), f"{width}x{height}", counted(len(recipe.plugins), "plugin")]
        say(file.source, ", ".join(parts), notes)
    if as_json:
        print_json({"recipes": found})
    if problems:
        raise RecipeError(problems)


def checked(
    path: Path, sets: Sequence[str], seed: int | None, device: str | None, *, prompt: str | None = None, **flags: Any
) -> tuple[str, list[str]]:
    """What a comparison is of, once all of its settings are found right, and what is noted of these.

    Args:
        path: Its file.
        sets: Changes of all settings, as of `--set`.
        seed: Another seed than the file's.
        device: Where to compute.
        prompt: Another prompt, which a comparison takes from nobody.
        flags: Values of options that have a flag of their own, such as `steps`.

    Raises:
        RecipeError: They are not; all problems.
    """
    from fusionkit.comparison.document import read_comparison
    from fusionkit.comparison.jobs import checked_settings, count_of, notes_of_settings
    from fusionkit.comparison.spec import parse_changes
    from fusionkit.errors import RecipeError
    from fusionkit.recipe.assemble import shown_path
    from fusionkit.recipe.nodes import Node, Place

    if prompt is not None:
        name = shown_path(path)
        raise RecipeError([f"--prompt: '{name}' is a comparison, which says its prompts itself; change them there"])
    given = [(key, Place(f"--{key}"), value) for key, value in flags.items() if value is not None]
    changes = [*parse_changes(sets, device), *((key, Node(value, place, place)) for key, place, value in given)]
    found = read_comparison(path, changes, None if seed is None else str(seed))
    notes = say_notes(notes_of_settings(found, aside(checked_settings, found)))
    counts = [(found.settings, "setting"), (found.prompts, "prompt"), (found.seeds, "seed")]
    parts = ", ".join(counted(len(each), noun) for each, noun in counts)
    return f"{parts}: {counted(count_of(found), 'picture')}", notes
