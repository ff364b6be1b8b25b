"""How near enlarged photos stay to the photos: PSNR of their reduction, for each of `--keep`.

Run it:  python benchmarks/photos.py
         python benchmarks/photos.py --photo china.jpg --crop 163x101+150+60 --scale 4 --doubling

A photo is one of scikit-learn's (china.jpg, flower.jpg), of scikit-image's where that is installed (astronaut.png,
chelsea.png, coffee.png, rocket.jpg), or a file. It prints a row of the table in docs/upscaling-photos.md: drawn once,
and then with what is coarse exchanged as `colour-match` does it. Then how near the photo stays that goes through the
model's autoencoder alone, at the same size.
"""

from __future__ import annotations

import tempfile
import time
from importlib.resources import files
from math import log2
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image

from fusionkit import Fusion
from fusionkit.runs.plan import RunPlan
from fusionkit.runs.run import picture_latents
from fusionkit_pictures import ColourMatch, photo_recipe
from fusionkit_pictures.photos.recipes import COLOUR_LEVELS

PACKAGES = ("sklearn.datasets.images", "skimage.data")


def found(name: str) -> Image.Image:
    """A photo by the name of its file."""
    for package in PACKAGES:
        try:
            if (path := files(package) / name).is_file():
                return Image.open(path.open("rb")).convert("RGB")
        except ModuleNotFoundError:
            continue
    return Image.open(name).convert("RGB")


def cropped(photo: Image.Image, crop: str) -> Image.Image:
    """A part of a photo: WIDTHxHEIGHT+LEFT+TOP."""
    if not crop:
        return photo
    size, left, top = crop.split("+")
    width, height = (int(side) for side in size.split("x"))
    return photo.crop((int(left), int(top), int(left) + width, int(top) + height))


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio of two pictures, in dB."""
    squared = (np.asarray(one, float) - np.asarray(other, float)) ** 2
    return float(10 * np.log10(255**2 / squared.mean()))


def through_the_autoencoder(fusion: Fusion, plan: RunPlan) -> Image.Image:
    """What a run begins with, encoded and decoded, without a step."""
    models = fusion.models_for(plan.recipe)
    stage = plan.stages[-1]
    stage.models, stage.model = models, next(iter(models.values()))
    latents = picture_latents(plan)
    assert latents is not None
    with torch.inference_mode():
        return stage.cut(stage.decode(latents))


@click.command()
@click.option("--photo", default="china.jpg", show_default=True)
@click.option("--crop", default="", metavar="WxH+X+Y", help="A part of it.")
@click.option("--long-side", type=int, help="Reduce the photo first, to be quicker.")
@click.option("--model", default="vista/scenes", show_default=True)
@click.option("--scale", default=2.0, show_default=True)
@click.option("--strength", default=0.3, show_default=True)
@click.option("--steps", type=int, help="By default the model's own.")
@click.option("--doubling", is_flag=True)
def main(
    photo: str, crop: str, long_side: int | None, model: str, scale: float, strength: float, steps: int, doubling: bool
) -> None:
    """Enlarge a photo and print how near it stays."""
    picture = cropped(found(photo), crop)
    if long_side:
        picture.thumbnail((long_side, long_side), Image.Resampling.LANCZOS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.png"
        picture.save(path)
        fields = {"model": model} | ({"steps": steps} if steps else {})
        recipe = photo_recipe(path, scale, strength=strength, doubling=doubling, keep="nothing", **fields)
        fusion = Fusion.from_recipe(recipe)
        fusion.models_for(fusion.plan().recipe)
        began = time.process_time()
        result = fusion.run(recipe, progress=False)
        seconds = time.process_time() - began
        distances = [psnr(result.image.resize(picture.size, Image.Resampling.LANCZOS), picture)]
        plan = fusion.plan(recipe)
        alone = through_the_autoencoder(fusion, plan)
        for levels in (COLOUR_LEVELS, max(1, round(log2(scale)))):
            match = ColourMatch(to=str(path), by="wavelet", levels=levels)
            near = match.matched(result.image, picture.resize(result.image.size, Image.Resampling.LANCZOS))
            distances.append(psnr(near.resize(picture.size, Image.Resampling.LANCZOS), picture))
    was, becomes = ("{}x{}".format(*size) for size in (picture.size, result.image.size))
    dbs = " | ".join(f"{each:.1f}" for each in distances)
    print(f"| {photo}, {was} | {becomes} | {model} | {plan.forward_passes:,} | {dbs} | {seconds:.0f} |")
    near = psnr(alone.resize(picture.size, Image.Resampling.LANCZOS), picture)
    print(f"the autoencoder alone: {near:.1f}; {plan.stages[-1].sampling_steps} steps at strength {strength:g}")


if __name__ == "__main__":
    main()
