"""`fusionkit validate`: check recipes without loading anything."""

from __future__ import annotations

import click

from fusionkit.cli.common import counted, read, recipe_options


@click.command("validate", short_help="Check recipes without loading a model.")
@click.argument("recipes", nargs=-1, required=True, metavar="RECIPE...")
@recipe_options
def command(recipes: tuple[str, ...], sets: tuple[str, ...], seed: int | None, device: str | None) -> None:
    """Check recipes: everything that is wrong with them, without loading a model.

    RECIPE is a file, or the name of a bundled recipe (see 'fusionkit recipes').
    """
    from fusionkit.checks import check_file
    from fusionkit.errors import RecipeError
    from fusionkit.run import completed

    problems: list[str] = []
    for name in recipes:
        try:
            file = read(name, sets, seed=seed, device=device)
            recipe = completed(file.recipes[0], next(iter(check_file(file).values())))
        except RecipeError as error:
            problems += error.problems
            continue
        width, height = recipe.size
        parts = [counted(len(file.recipes), "picture"), f"{width}x{height}", counted(len(recipe.plugins), "plugin")]
        click.echo(f"{file.source}: valid ({', '.join(parts)})")
    if problems:
        raise RecipeError(problems)
