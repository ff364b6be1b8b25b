"""`fusionkit new-recipe`: a recipe's file to begin with, each line explained."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionkit.cli.common import recipe_options

if TYPE_CHECKING:
    from fusionkit.cli.common import Given


@click.command("new-recipe", short_help="Write a recipe of your own, each line explained.")
@click.argument("source", required=False, metavar="[PICTURE]")
@click.option(
    "--model", metavar="MODEL", help="A hub id, a folder, a file, or an embedded one; by default vista/scenes."
)
@click.option("--plugins", metavar="NAMES", help="The plugins, in order, with commas: multidiffusion,guided-fusion.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the recipe goes, a new file such as mine.yaml; by default it is printed.",
)
@recipe_options
def command(
    source: str | None,
    model: str | None,
    plugins: str | None,
    output: Path | None,
    sets: tuple[str, ...],
    download: bool,
    **shorthands: Any,
) -> None:
    """Write a recipe to begin with: checked, and with all keys and all options of its plugins explained.

    PICTURE is one that fusionkit drew, or another recipe: what it says is said, and what the options say in its place.
    Without one the options say all. Nothing that is there is changed.

    \b
    fusionkit new-recipe --plugins multidiffusion,guided-fusion --size 512x128 -o mine.yaml
    """  # noqa: D301 - click wants the character
    from fusionkit.cli.common import aside, quoted, tell_notes
    from fusionkit.errors import RecipeError
    from fusionkit.pictures.files import write_whole
    from fusionkit.runs.checks import check_file
    from fusionkit.runs.plan import completed
    from fusionkit.starts.recipe import recipe_text

    options = {**shorthands, "model": model, "plugins": None if plugins is None else names(plugins)}
    with ExitStack() as within:
        asked = begun(source, sets, download, within, options)
        found = aside(check_file, asked.file)
        if len(asked.file.recipes) > 1:
            raise RecipeError([f"{asked.file.source}: has several prompts; say one: --prompt TEXT"])
        recipe = aside(completed, asked.file.recipes[0], next(iter(found.infos.values())))
        text = recipe_text(recipe, "mine.yaml" if output is None else quoted(output))
    tell_notes(asked.file, found.notes)
    if output is None:
        click.echo(text, nl=False)
        return
    if output.exists():
        raise RecipeError([f"'{output}' is there already, and is not changed; give another name: -o FILE"])
    write_whole(output, text, replace=False)
    click.echo(f"{output}: run it with  fusionkit run {quoted(output)}")


def names(text: str) -> list[str]:
    """The names in a text with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def begun(
    source: str | None, sets: tuple[str, ...], download: bool, within: ExitStack, options: dict[str, Any]
) -> Given:
    """What the new recipe says, from another one or from the options alone.

    Raises:
        RecipeError: All that is wrong with it.
    """
    from fusionkit.cli.common import Given, aside, given
    from fusionkit.models.embedded import embedded_models
    from fusionkit.recipe.assemble import is_picture
    from fusionkit.recipe.nodes import Node, Place
    from fusionkit.recipe.recipe import Recipe
    from fusionkit.recipe.recipe_file import recipe_of
    from fusionkit.starts.recipe import FIRST_MODEL

    if source is not None:
        if options["model"] is not None:
            sets = (*sets, "models=null")
        if is_picture(Path(source)):
            # A run from a picture writes beside it; a recipe of its own writes where recipes do.
            sets = (f"output={Recipe().output}", *sets)
        return given(source, sets, download, within, **options)
    model = options["model"] or FIRST_MODEL
    told = {key.replace("_", "-"): value for key, value in options.items() if value is not None}
    entries = {key: Node.of(value, Place(f"--{key}")) for key, value in {"model": model, **told}.items()}
    embedded = embedded_models().get(model)
    if embedded is not None and embedded.example_prompt:
        entries.setdefault("prompt", Node.of(embedded.example_prompt, Place("--prompt")))
    return Given(aside(recipe_of, entries, Path(), "recipe", "new-recipe", sets), (), ())
