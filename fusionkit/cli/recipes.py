"""`fusionkit recipes`: the recipes that come with fusionkit."""

from __future__ import annotations

from pathlib import Path

import click

from fusionkit.cli.common import table


@click.command("recipes", short_help="List the bundled recipes, or print one.")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the bundled recipes, or print one, as a start for your own: fusionkit recipes NAME > mine.yaml."""
    from fusionkit.assemble import bundled_recipes, find_recipe

    if name is not None:
        click.echo(find_recipe(name).read_text(encoding="utf-8"), nl=False)
        return
    click.echo(table([[each, summary(path)] for each, path in bundled_recipes().items()]))


def summary(path: Path) -> str:
    """What a recipe is for: its second line, after the one with the command that runs it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines[1].lstrip("# ") if len(lines) > 1 and lines[1].startswith("#") else ""
