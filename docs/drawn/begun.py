"""Pictures of what begins with a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from drawn.sheets import IMAGES, plugins, run, stacked

if TYPE_CHECKING:
    from PIL.Image import Image


def lake() -> Image:
    """The picture that comes with the recipes that begin with one."""
    from PIL import Image

    return Image.open(IMAGES.parents[1] / "recipes" / "lake.png").convert("RGB")


def image_to_image() -> Image:
    """A picture, and what three strengths make of it."""
    recipe = "image-to-image-vista"
    drawn = {
        f"strength {strength}": run([f"plugins.image-to-image.strength={strength}"], recipe)
        for strength in (0.4, 0.6, 0.8)
    }
    return stacked({"the picture": lake(), **drawn})


def inpaint() -> Image:
    """A picture whose sky is drawn anew, twice."""
    recipe = "inpaint-vista"
    sunset = ("prompt=a landscape poster of a mountain lake at sunset under clouds", "scheduler=euler-a")
    drawn = {"its sky under northern lights": run([], recipe), "its sky at sunset": run([*sunset], recipe)}
    for label, picture in drawn.items():
        rows = differing_rows(lake(), picture)
        print(f"  {label}: rows {rows[0]} to {rows[-1]} of {picture.height} differ")
    return stacked({"the picture": lake(), **drawn})


def differing_rows(one: Image, other: Image) -> Sequence[int]:
    """The numbers of the rows in which two pictures differ."""
    import numpy as np

    differs = (np.asarray(one) != np.asarray(other)).any(axis=(1, 2))
    return [int(row) for row in differs.nonzero()[0]]


def colour_match() -> Image:
    """A picture drawn anew, and with the colours that it had."""
    recipe, names = "image-to-image-vista", ("multidiffusion: {stride: 64}", "guided-fusion")
    begin = "image-to-image: {from: lake.png}"
    drawn = {
        f"colour-match: {{by: {by}}}": run([plugins(*names, begin, f"colour-match: {{by: {by}}}")], recipe)
        for by in ("mean-std", "wavelet")
    }
    return stacked({"the picture": lake(), "drawn anew": run([], recipe), **drawn})


def exact_size() -> Image:
    """The canvas of a photo, reflected beyond it, and where it is cut."""
    from importlib.resources import files

    from PIL import Image, ImageDraw

    from fusionkit.pictures.picture import reflected

    with (files("sklearn.datasets.images") / "china.jpg").open("rb") as file:
        photo = Image.open(file).resize((320, 213), Image.Resampling.LANCZOS)
    canvas = reflected(photo, (384, 256))
    ImageDraw.Draw(canvas).rectangle((-2, -2, 320, 213), outline="white", width=2)
    return canvas
