"""`fusionkit replay`: make a picture again from what its file says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fusionkit.cli.common import aside
from fusionkit.errors import RecipeError
from fusionkit.models.memory import LARGEST_BATCH


@click.command("replay", short_help="Make a picture again and compare.")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="PATH", help="Where the new picture goes; by default beside the old one.")
@click.option("--device", metavar="NAME", help="Where to compute: auto, cpu, cuda, cuda:1, mps, ...")
@click.option(
    "--save-maps",
    "--save-masks",
    is_flag=True,
    help="Write the plugins' pictures of how they worked beside the new picture.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no summary.")
def command(image: Path, output: str | None, device: str | None, save_maps: bool, quiet: bool) -> None:
    """Make the picture of IMAGE again, from the recipe inside it, and say whether it is the same."""
    from fusionkit.checks import check_file
    from fusionkit.image import read_metadata
    from fusionkit.inputs import Inputs
    from fusionkit.picture import pictures_beside
    from fusionkit.recipe_file import parse_recipe

    told = read_metadata(image)
    where = {"output": output if output is not None else escaped(image), "device": device}
    inputs = Inputs(told.get("files", {}), image)
    with pictures_beside(image.parent):
        file = aside(parse_recipe, told["recipe"], str(image), options=where, placed=inputs.placed)
    if len(file.recipes) != 1:
        raise RecipeError([f"{image}: carries a recipe of {len(file.recipes)} prompts; a picture is drawn from one"])
    for note in inputs.notes():
        click.echo(f"note: {note}", err=True)
    aside(check_file, file)

    from fusionkit.cli.pictures import make_pictures
    from fusionkit.image import versions

    (result,) = make_pictures(file, quiet, save_maps, batch_size(told))
    click.echo(verdict(told, result.latents_hash, versions(result.recipe.plugins), inputs.differing))


def escaped(path: Path) -> str:
    """A path as a template that stands for itself."""
    return str(path).replace("{", "{{").replace("}", "}}")


def batch_size(told: dict[str, Any]) -> int | None:
    """How many views went through the denoiser together, since that decides the last bits; None if it does not say.

    It counts where the recipe does not say. What a file can ask for is limited by what is chosen by itself.
    """
    size = told.get("batch-size")
    return size if type(size) is int and 1 <= size <= LARGEST_BATCH else None


def verdict(told: dict[str, Any], latents_hash: str, now: dict[str, str], files: Sequence[str] = ()) -> str:
    """Whether the latents are equal, and if they are not, what else has changed; `files` are those that differ."""
    if told.get("latents") == latents_hash:
        return f"equal: the latents' hash is {latents_hash[:16]} again"
    then = told.get("versions", {})
    differ = [
        f"{name} {then.get(name)} -> {now.get(name)}" for name in {**then, **now} if then.get(name) != now.get(name)
    ]
    why = f"; different files: {', '.join(files)}" if files else ""
    why += (
        f"; different versions: {', '.join(differ)}"
        if differ
        else ""
        if files
        else "; all versions are the same, so is it the device, or its threads?"
    )
    return f"not equal: the latents' hash was {str(told.get('latents'))[:16]} and is {latents_hash[:16]} now{why}"
