"""`fusionkit decode`: the picture of a checkpoint whose steps are all done."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionkit.cli.common import aside

if TYPE_CHECKING:
    from fusionkit.pictures.result import Result
    from fusionkit.runs.checkpoints.checkpoint import Checkpoint


@click.command("decode", short_help="Decode the picture that a run has kept.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", metavar="PATH", help="Where the picture goes: a folder, or a file; by default beside it."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file instead of adding a number.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change how it is decoded: vae-tiling=true.",
)
@click.option("--device", metavar="NAME", help="Where to compute: auto, cpu, cuda, cuda:1, mps, ...")
@click.option("--download", is_flag=True, help="Fetch the models that the checkpoint names, where they are not here.")
@click.option("-q", "--quiet", is_flag=True, help="Print the path of the picture and nothing else.")
def command(
    checkpoint: Path,
    output: str | None,
    overwrite: bool,
    sets: tuple[str, ...],
    download: bool,
    device: str | None,
    quiet: bool,
) -> None:
    """Make the picture of CHECKPOINT, a file that a run left whose steps were done and whose picture was not saved.

    The checkpoint is deleted when the picture is saved. One whose steps are not done goes on with 'fusionkit run
    RECIPE --resume'.
    """
    from fusionkit.cli.from_picture import escaped
    from fusionkit.cli.pictures import summary
    from fusionkit.errors import CheckpointError
    from fusionkit.runs.checkpoints.checkpoint import picture_beside, read_checkpoint
    from fusionkit.trust import hub_offline, named_by_a_picture

    found = read_checkpoint(checkpoint)
    if not found.progress.only_decoding_is_left:
        raise CheckpointError(
            f"checkpoint '{checkpoint}' is at {found.progress}, so that there is no picture yet; go on with the recipe "
            f"that it is of: fusionkit run RECIPE --resume"
        )
    beside = picture_beside(checkpoint, found.progress.suffix)
    if output is not None and (output.endswith(("/", os.sep)) or os.path.isdir(output)):
        output = str(Path(output) / beside.name)
    mine = {"output": escaped(Path(output or beside)), "overwrite": overwrite or None, "device": device}
    hub: AbstractContextManager[None] = nullcontext() if download else hub_offline()
    with hub, named_by_a_picture(downloads=None if download else "--download fetches it"):
        path, result = _decoded(found, sets, mine)
    click.echo(str(path) if quiet else summary(path, result))


def _decoded(found: Checkpoint, sets: Sequence[str], options: Mapping[str, Any]) -> tuple[Path, Result]:
    """The picture of a checkpoint, written, and where it is."""
    from fusionkit.errors import OutOfMemory
    from fusionkit.fusion import Fusion
    from fusionkit.pictures.carried import OURS
    from fusionkit.pictures.image import metadata_of, output_path, save_or_keep
    from fusionkit.recipe.document import dump_yaml
    from fusionkit.recipe.recipe_file import parse_recipe
    from fusionkit.runs.checks import check_file
    from fusionkit.runs.signals import interrupts_later

    file = aside(parse_recipe, dump_yaml(dict(found.identity.recipe)), str(found.path), sets, options, without=OURS)
    aside(check_file, file)
    (recipe,) = file.recipes
    fusion = Fusion.from_recipe(recipe)
    try:
        result = aside(fusion.run, recipe, progress=False, checkpoint=found.path, checkpoint_every=None, resume=True)
    except OutOfMemory as error:
        if error.decode_in_tiles is None:
            raise
        click.echo(f"{error.args[0]}; it is decoded again with vae-tiling: true", err=True)
        result = aside(error.decode_in_tiles)
    with interrupts_later():
        path = save_or_keep(result.image, output_path(recipe), metadata_of(result), overwrite=recipe.overwrite)
        result.forget_checkpoint()
    return path, result
