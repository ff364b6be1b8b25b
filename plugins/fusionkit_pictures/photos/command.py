"""`fusionkit upscale`: enlarge photos, one or a folder of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionkit.cli.as_json import json_option
from fusionkit.cli.common import Seed
from fusionkit.cli.keeping import keeping, keeping_options

if TYPE_CHECKING:
    from fusionkit_pictures.photos.recipes import Enlarging


_PATH = click.Path(path_type=Path)


@click.command("upscale", short_help="Enlarge photos.")
@click.argument("photos", metavar="PHOTO...", nargs=-1, required=True, type=_PATH)
@click.option("--scale", type=float, metavar="X", help="How many times as wide and high, from 1.  [default: 2]")
@click.option(
    "--long-side", type=click.IntRange(1), metavar="N", help="In place of --scale: its longer side in pixels."
)
@click.option("--model", metavar="MODEL", help="What draws: a hub id, a folder, a file, or an embedded model.")
@click.option("--strength", type=float, metavar="S", help="How much is drawn anew, above 0 to 1.  [default: 0.35]")
@click.option("--prompt", metavar="TEXT", help="What the photos show; by default what x.txt beside x.jpg says.")
@click.option("--negative-prompt", metavar="TEXT", help="What to steer away from.")
@click.option("--steps", type=int, metavar="N", help="Sampling steps, of which the share --strength is taken.")
@click.option("--scheduler", metavar="NAME", help="Such as ddim or dpm++-2m; by default the model's own.")
@click.option("--controlnet", metavar="MODEL", help="A ControlNet that is shown the photo, such as a tile ControlNet.")
@click.option("--network", metavar="FILE", help="A super-resolution network that enlarges the photo first.")
@click.option("--lora", "loras", metavar="FILE", multiple=True, help="A LoRA to put on the model; FILE:0.8 scales it.")
@click.option("--doubling", is_flag=True, help="Draw scales above 2 in stages, each twice the one before.")
@click.option(
    "--keep",
    type=click.Choice(["details", "colours", "nothing"]),
    default="details",
    show_default=True,
    help="What stays the photo's: most of what it shows, its colours and light alone, or nothing.",
)
@click.option("--from", "source", metavar="RECIPE", help="Your own recipe in place of upscale-photo.")
@click.option("-o", "--output", metavar="PATH", type=_PATH, help="A folder, or for one photo a file.")
@click.option("--format", "kind", type=click.Choice(["png", "jpg", "webp"]), help="What is written.  [default: png]")
@click.option("--overwrite", is_flag=True, default=None, help="Replace an existing file instead of adding a number.")
@click.option("--dry-run", is_flag=True, help="Say what would be drawn, and what it needs, and draw nothing.")
@click.option("--recipe", "print_recipe", is_flag=True, help="Print the recipe that enlarges the photo.")
@click.option("-q", "--quiet", is_flag=True, help="Print the path of each picture and nothing else.")
@click.option("--seed", type=Seed(), metavar="N", help="Another seed than 0.")
@click.option("--device", metavar="NAME", help="Where to compute: auto, cpu, cuda, cuda:1, mps, ...")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change the recipe, as often as needed: window=768x768."
)
@keeping_options
@json_option
def command(
    photos: tuple[Path, ...],
    scale: float | None,
    long_side: int | None,
    output: Path | None,
    kind: str | None,
    dry_run: bool,
    print_recipe: bool,
    quiet: bool,
    checkpoint_every: float,
    resume: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Enlarge photos: each to exactly --scale times its size, as NAME-2x.png beside it.

    PHOTO is a picture of any size and shape, or a folder of them. Each window of the model sees its own part of the
    photo. Pictures that are there already are not drawn again, so that a folder goes on where it was interrupted.
    """
    from fusionkit_pictures.photos.drawing import jobs_of, print_of, show, told_of
    from fusionkit_pictures.photos.folder import photos_in, placed
    from fusionkit_pictures.photos.recipes import SCALE

    how = _how(scale, long_side, options)
    addition = f"-{scale or SCALE:g}x" if long_side is None else f"-{long_side}px"
    named, enlarged = photos_in(photos)
    places = placed(named, addition, output, f".{kind}" if kind else None)
    if enlarged and not quiet:
        click.echo(f"note: {len(enlarged)} pictures that fusionkit enlarged are left out", err=True)
    found = jobs_of(places, how)
    if print_recipe:
        click.echo(print_of(found), nl=False)
        return
    if not quiet:
        told_of(found)
    if dry_run:
        show(found, as_json)
    else:
        from fusionkit_pictures.photos.drawing import draw

        draw(found, keeping=keeping(checkpoint_every, resume), quiet=quiet, as_json=as_json)
    if found.unfit:
        for line in (f"{len(found.unfit)} of {len(places)} photos could not be enlarged:", *found.lines):
            click.echo(line, err=True)
        click.get_current_context().exit(1)


def _how(scale: float | None, long_side: int | None, options: dict[str, Any]) -> Enlarging:
    from fusionkit.errors import RecipeError
    from fusionkit_pictures.photos.recipes import RECIPE, Enlarging

    own = options.pop("source")
    prompt, model = options.pop("prompt"), options.pop("model")
    how = Enlarging(
        scale=scale,
        long_side=long_side,
        strength=options.pop("strength"),
        doubling=options.pop("doubling"),
        controlnet=options.pop("controlnet"),
        network=options.pop("network"),
        keep=options.pop("keep"),
        source=own or RECIPE,
        sets=options.pop("sets"),
        options={
            "model": model,
            "prompt": prompt,
            "loras": [_lora(each) for each in options.pop("loras")] or None,
            **{
                key.replace("_", "-"): options[key]
                for key in ("negative_prompt", "steps", "scheduler", "seed", "device", "overwrite")
            },
        },
    )
    problems = how.problems()
    if model is None and own is None:
        problems.append(
            "--model is missing: what draws, such as stabilityai/stable-diffusion-xl-base-1.0; or --from RECIPE"
        )
    if problems:
        raise RecipeError(problems)
    return how


def _lora(text: str) -> dict[str, Any]:
    path, colon, scale = text.rpartition(":")
    try:
        return {"path": path, "scale": float(scale)} if colon and path else {"path": text}
    except ValueError:
        return {"path": text}
