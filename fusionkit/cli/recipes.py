"""`fusionkit recipes`: the recipes that come with fusionkit."""

from __future__ import annotations

from pathlib import Path

import click

from fusionkit.cli.common import table


@click.command("recipes", short_help="List the bundled recipes, or print one.")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the bundled recipes and comparisons, or print one, as a start for your own.

    \b
    fusionkit recipes NAME > mine.yaml
    """  # noqa: D301 - click wants the character
    from fusionkit.assemble import bundled_recipes, find_recipe
    from fusionkit.comparison.document import bundled_comparisons

    comparisons = bundled_comparisons()
    if name is not None:
        path = comparisons.get(name) or find_recipe(name)
        click.echo(path.read_text(encoding="utf-8"), nl=False)
        return
    click.echo(table([[each, summary(path)] for each, path in {**bundled_recipes(), **comparisons}.items()]))


def summary(path: Path) -> str:
    """What a recipe is for: its second line, after the one with the command that runs it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines[1].lstrip("# ") if len(lines) > 1 and lines[1].startswith("#") else ""
