"""`fusionkit recipes`: the recipes that come with fusionkit."""

from __future__ import annotations

from pathlib import Path

import click

from fusionkit.cli.as_json import json_option, print_json
from fusionkit.cli.common import table
from fusionkit.foreign import printable


@click.command("recipes", short_help="List the bundled recipes, or print one.")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the bundled recipes, comparisons and presets, or print one, as a start for your own.

    NAME may be a picture that fusionkit drew, too: the recipe inside it is printed.

    \b
    fusionkit recipes NAME > mine.yaml
    """  # noqa: D301 - click wants the character
    from fusionkit.comparison.document import bundled_comparisons
    from fusionkit.recipe.assemble import bundled_recipes, find_recipe
    from fusionkit.recipe.presets import presets

    comparisons = bundled_comparisons()
    ways = {f"presets/{each}": path for each, path in presets().items()}
    if name is not None:
        text = text_of(comparisons.get(name) or ways.get(name) or find_recipe(name))
        if as_json:
            print_json({"source": name, "recipe": text})
        else:
            click.echo(printable(text), nl=False)
        return
    bundled = bundled_recipes()
    if as_json:
        kinds = {
            **dict.fromkeys(bundled, "recipe"),
            **dict.fromkeys(comparisons, "comparison"),
            **dict.fromkeys(ways, "preset"),
        }
        found = {**bundled, **comparisons, **ways}
        listed = [{"name": each, "kind": kind, "summary": summary(found[each])} for each, kind in kinds.items()]
        print_json({"recipes": listed})
        return
    click.echo(table([[each, summary(path)] for each, path in {**bundled, **comparisons, **ways}.items()]))


def text_of(path: Path) -> str:
    """A recipe's text, of a file or of the picture that carries it.

    Raises:
        RecipeError: It has none.
    """
    from fusionkit.pictures.image import read_metadata
    from fusionkit.recipe.assemble import is_picture, shown_path
    from fusionkit.recipe.document import read_text

    if is_picture(path):
        return str(read_metadata(path)["recipe"])
    return read_text(path, shown_path(path))


def summary(path: Path) -> str:
    """What a recipe is for: its second line, after the one with the command that runs it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines[1].lstrip("# ") if len(lines) > 1 and lines[1].startswith("#") else ""
