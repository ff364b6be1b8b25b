"""`fusionkit schema`: the JSON schema of recipe files."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("schema", short_help="Print the JSON schema of recipes, for editors.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write it to a file, replacing an older schema.")
def command(output: Path | None) -> None:
    """Print the JSON schema of recipes with all installed plugins, so that an editor completes and checks them.

    \b
    fusionkit schema -o recipe.schema.json
    and as the first line of a recipe, for editors with a YAML language server:
    # yaml-language-server: $schema=recipe.schema.json
    """  # noqa: D301 - click wants the character
    from fusionkit.cli.common import aside
    from fusionkit.errors import FusionError
    from fusionkit.pictures.files import unwritable, write_whole
    from fusionkit.recipe.schema import TITLE, recipe_schema

    text = json.dumps(aside(recipe_schema), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    if problem := unwritable(output, overwrite=True):
        raise FusionError(problem)
    try:
        if output.exists() and f'"title": "{TITLE}"' not in output.read_text(encoding="utf-8", errors="replace"):
            raise FusionError(f"'{output}' is there and is no schema of fusionkit; it is left as it is")
    except OSError as error:
        raise FusionError(f"'{output}' can't be written: {error.strerror or error}") from error
    write_whole(output, text)
    click.echo(output)
