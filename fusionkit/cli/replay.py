"""`fusionkit replay`: make a picture again from what its file says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionkit.cli.as_json import json_option, of_run, print_json
from fusionkit.cli.common import DOWNLOAD, aside
from fusionkit.cli.from_picture import batch_size, batches, destination, tell_of

if TYPE_CHECKING:
    from fusionkit.cli.pictures import Drawn
    from fusionkit.pictures.carried import Carrier
    from fusionkit.recipe.recipe_file import RecipeFile


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
@click.option("--devices", metavar="NAMES", help="In its place, several that draw it together: cuda:0,cuda:1.")
@click.option("--download", is_flag=True, help="Fetch the models that the picture names, where they are not here.")
@click.option(
    "--save-maps",
    "--save-masks",
    is_flag=True,
    help="Write the plugins' pictures of how they worked beside the new picture.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no summary.")
@json_option
def command(
    image: Path, output: str | None, sets: tuple[str, ...], download: bool, as_json: bool, **options: Any
) -> None:
    """Make the picture of IMAGE again, from the recipe inside it, and say whether it is the same.

    Where it is not, the exit code is 1. The recipe inside decides what is drawn, and nothing else: it writes over
    nothing, and nothing that it names is downloaded, unless you say so here.
    """
    from fusionkit.foreign import printable
    from fusionkit.pictures.carried import carried, carrier_of

    carrier, where = carrier_of(image, str(image)), destination(image, output)
    with carried(None if download else DOWNLOAD) as limits:
        say = (lambda _: None) if as_json else click.echo
        drawn, line, well = replayed(carrier, where, sets, limits.opened, say, **options)
    if as_json:
        print_json({**of_run([drawn])["pictures"][0], **compared(carrier, drawn, sets), "verdict": printable(line)})
    else:
        click.echo(printable(line))
    if not well:
        raise click.exceptions.Exit(1)


def replayed(
    carrier: Carrier,
    output: str,
    sets: Sequence[str],
    opened: Sequence[str],
    say: Callable[[str], object],
    *,
    overwrite: bool,
    device: str | None,
    devices: str | None,
    save_maps: bool,
    quiet: bool,
) -> tuple[Drawn, str, bool]:
    """Make a picture again; it, what came of it, and whether all is well.

    Raises:
        RecipeError: The recipe inside can't be run; all problems.
    """
    from fusionkit.models.identity import misfits
    from fusionkit.pictures.carried import OURS
    from fusionkit.recipe.beside import pictures_beside
    from fusionkit.recipe.recipe_file import parse_recipe
    from fusionkit.runs.checks import check_file

    image, told, inputs = carrier.path, carrier.told, carrier.inputs
    mine = {"output": output, "overwrite": overwrite, "device": device, "devices": devices}
    with pictures_beside(image.parent):
        file = aside(parse_recipe, told["recipe"], str(image), sets, mine, inputs.placed, without=OURS)
    check_one(file)
    aside(check_file, file)
    tell_of([carrier], file, opened, quiet=quiet, changes=False)

    from fusionkit.cli.pictures import make_pictures
    from fusionkit.pictures.image import versions

    size = None if batches(told) else batch_size(told)
    (drawn,) = make_pictures(file, quiet, save_maps, size, batches(told), say=say)
    assert drawn.result is not None, "nothing was there already"
    result = drawn.result
    differing = [*inputs.differing, *misfits(told.get("models", {}), file.recipes[0])]
    changed = carrier.differences(file) if sets else None
    line, well = verdict(told, result.latents_hash, versions(result.recipe.plugins), differing, changed)
    return drawn, line, well


def compared(carrier: Carrier, drawn: Drawn, sets: Sequence[str]) -> dict[str, Any]:
    """Whether the new picture's latents are equal, and the hash that the old one's had; both None if it says none."""
    then = carrier.told.get("latents")
    now = drawn.result.latents_hash if drawn.result is not None else None
    return {"equal": None if then is None or (sets and then != now) else then == now, "latents-before": then}


def check_one(file: RecipeFile) -> None:
    """Refuse several prompts, which `--set` may give.

    Raises:
        RecipeError: There are several.
    """
    from fusionkit.errors import RecipeError

    if (count := len(file.recipes)) != 1:
        raise RecipeError([f"{file.source}: carries a recipe of {count} prompts; a picture is drawn from one"])


def verdict(
    told: Mapping[str, Any],
    latents_hash: str,
    now: Mapping[str, str],
    files: Sequence[str] = (),
    changed: Sequence[str] | None = None,
) -> tuple[str, bool]:
    """Whether the latents are equal, and if they are not, what else has changed; and whether that is well.

    Args:
        told: What the picture says of how it was made.
        latents_hash: That of the new picture.
        now: The versions that drew it.
        files: Those that it read, and models, that are others than before.
        changed: What the user changed of the recipe; None: nothing was asked to be.
    """
    then, before = told.get("latents"), told.get("versions", {})
    if then == latents_hash:
        return f"equal: the latents' hash is {latents_hash[:16]} again", True
    if changed is not None:
        what = f"; {', '.join(changed)}" if changed else ""
        return f"changed by --set, and so not compared: the latents' hash is {latents_hash[:16]}{what}", True
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
