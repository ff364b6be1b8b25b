"""`fusionkit replay`: make a picture again from what its file says."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from fusionkit.cli.common import aside
from fusionkit.models.memory import LARGEST_BATCH

OURS = ("output", "overwrite", "preview-every")
"""What the user says and never the recipe inside a picture: where files go, and what they replace."""


@click.command("replay", short_help="Make a picture again and compare.")
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="Where the new picture goes: a folder, or a file; by default beside the old one.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file instead of adding a number.")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change the recipe, as for 'run'; nothing is compared."
)
@click.option("--device", metavar="NAME", help="Where to compute: auto, cpu, cuda, cuda:1, mps, ...")
@click.option("--download", is_flag=True, help="Fetch the models that the picture names, where they are not here.")
@click.option(
    "--save-maps",
    "--save-masks",
    is_flag=True,
    help="Write the plugins' pictures of how they worked beside the new picture.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no summary.")
def command(image: Path, output: str | None, sets: tuple[str, ...], download: bool, **options: Any) -> None:
    """Make the picture of IMAGE again, from the recipe inside it, and say whether it is the same.

    Where it is not, the exit code is 1. The recipe inside decides what is drawn, and nothing else: it writes over
    nothing, and nothing that it names is downloaded, unless you say so here.
    """
    from fusionkit.foreign import printable
    from fusionkit.pictures.image import read_metadata
    from fusionkit.trust import hub_offline, named_by_a_picture

    told = read_metadata(image)
    where = destination(image, output)
    hub: AbstractContextManager[None] = nullcontext() if download else hub_offline()
    with hub, named_by_a_picture(downloads=None if download else "--download fetches it") as limits:
        line, equal = replayed(image, told, where, sets, limits.opened, **options)
    click.echo(printable(line))
    if not equal:
        raise click.exceptions.Exit(1)


def replayed(
    image: Path,
    told: Mapping[str, Any],
    output: str,
    sets: Sequence[str],
    opened: Sequence[str],
    *,
    overwrite: bool,
    device: str | None,
    save_maps: bool,
    quiet: bool,
) -> tuple[str, bool]:
    """Make a picture again; what came of it, and whether all is well.

    Raises:
        RecipeError: The recipe inside can't be run; all problems.
    """
    from fusionkit.errors import RecipeError
    from fusionkit.foreign import printable
    from fusionkit.models.identity import misfits
    from fusionkit.pictures.inputs import Inputs
    from fusionkit.recipe.beside import pictures_beside
    from fusionkit.recipe.recipe_file import parse_recipe
    from fusionkit.runs.checks import check_file

    mine = {"output": output, "overwrite": overwrite, "device": device}
    inputs = Inputs(told.get("files", {}), image)
    with pictures_beside(image.parent):
        file = aside(parse_recipe, told["recipe"], str(image), sets, mine, inputs.placed, without=OURS)
    if len(file.recipes) != 1:
        raise RecipeError([f"{image}: carries a recipe of {len(file.recipes)} prompts; a picture is drawn from one"])
    aside(check_file, file)
    models = misfits(told.get("models", {}), file.recipes[0])
    for note in (*inputs.notes(), *models.values()):
        click.echo(printable(f"note: {note}"), err=True)
    if not quiet and opened:
        click.echo(printable(f"the recipe inside names, and this opens: {', '.join(opened)}"), err=True)

    from fusionkit.cli.pictures import make_pictures
    from fusionkit.pictures.image import versions

    (result,) = make_pictures(file, quiet, save_maps, None if batches(told) else batch_size(told), batches(told))
    differing = [*inputs.differing, *models]
    return verdict(told, result.latents_hash, versions(result.recipe.plugins), differing, changed=bool(sets))


def destination(image: Path, output: str | None) -> str:
    """Where the new picture goes, as a template.

    Raises:
        RecipeError: It would lie in a comparison's folder.
    """
    from fusionkit.comparison.folder import MANIFEST
    from fusionkit.errors import RecipeError

    if output is not None and (output.endswith(("/", os.sep)) or os.path.isdir(output)):
        output = os.path.join(output, escaped(Path(image.name)))
    to = image if output is None else Path(output)
    # Its pictures lie two folders deep at most.
    inside = next((each for each in list(to.absolute().parents)[:3] if (each / MANIFEST).is_file()), None)
    if inside is not None:
        raise RecipeError(
            [f"{to}: lies in a comparison's folder, which holds what 'compare' drew; give another place: -o PATH"]
        )
    return escaped(image) if output is None else output


def escaped(path: Path) -> str:
    """A path as a template that stands for itself."""
    return str(path).replace("{", "{{").replace("}", "}}")


def batch_size(told: Mapping[str, Any]) -> int | None:
    """How many views went through the denoiser together, since that decides the last bits; None if it does not say.

    It counts where the recipe does not say. What a file can ask for is limited by what is chosen by itself.
    """
    size = told.get("batch-size")
    return size if type(size) is int and 1 <= size <= LARGEST_BATCH else None


def batches(told: Mapping[str, Any]) -> dict[str, dict[tuple[int, int], int]]:
    """The same for each model by name, and each (height, width) in latent pixels of its views.

    What makes no sense is left out.
    """
    by_model = told.get("batch-sizes")
    found: dict[str, dict[tuple[int, int], int]] = {}
    for name, sizes in by_model.items() if isinstance(by_model, dict) else ():
        for view, size in sizes.items() if isinstance(sizes, dict) else ():
            sides = re.fullmatch(r"(\d{1,6})x(\d{1,6})", view)
            if sides and type(size) is int and 1 <= size <= LARGEST_BATCH:
                found.setdefault(name, {})[int(sides[1]), int(sides[2])] = size
    return found


def verdict(
    told: Mapping[str, Any],
    latents_hash: str,
    now: Mapping[str, str],
    files: Sequence[str] = (),
    *,
    changed: bool = False,
) -> tuple[str, bool]:
    """Whether the latents are equal, and if they are not, what else has changed; and whether that is well.

    Args:
        told: What the picture says of how it was made.
        latents_hash: That of the new picture.
        now: The versions that drew it.
        files: Those that it read, and models, that are others than before.
        changed: Whether the user changed the recipe.
    """
    then, before = told.get("latents"), told.get("versions", {})
    if then == latents_hash:
        return f"equal: the latents' hash is {latents_hash[:16]} again", True
    if changed:
        return f"changed by --set, and so not compared: the latents' hash is {latents_hash[:16]}", True
    if then is None:
        return f"not compared: the picture does not say its latents' hash, which is {latents_hash[:16]} now", False
    differ = [
        f"{name} {before.get(name)} -> {now.get(name)}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    reasons = [f"; different files: {', '.join(files)}"] if files else []
    reasons += [f"; different versions: {', '.join(differ)}"] if differ else []
    why = "".join(reasons) or "; all versions are the same, so is it the device, or its threads?"
    return f"not equal: the latents' hash was {then[:16]} and is {latents_hash[:16]} now{why}", False
