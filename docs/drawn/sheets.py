"""What pictures of the documentation are made of: runs of recipes, and sheets of pictures with their labels."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGES = Path(__file__).resolve().parents[1] / "images"
RECIPE = "panorama"
GAP, LABEL, ZOOM = 6, 22, 2
SETS: list[str] = []
"""Changes of every picture, from the command line."""


def plugins(*entries: str) -> str:
    """A change that replaces the recipe's plugins."""
    return f"plugins=[{', '.join(entries)}]"


def run(changes: Sequence[str], recipe: str = RECIPE, shown: str = "") -> Image:
    """The picture of a recipe with some changes, or one of its maps."""
    from fusionkit import Fusion
    from fusionkit.recipe.recipe_file import load_recipes

    changes = [*changes, *SETS]
    result = Fusion.from_recipe(load_recipes(recipe, changes)[0])(progress=False, maps=bool(shown))
    print(f"  {shlex.join(['fusionkit', 'run', recipe, *(part for each in changes for part in ('--set', each))])}")
    return result.maps[shown] if shown else result.image


def enlarged(image: Image, zoom: int = ZOOM) -> Image:
    """A picture at a multiple of its size."""
    from PIL.Image import Resampling

    return image.resize((image.width * zoom, image.height * zoom), Resampling.LANCZOS)


def sharpness(image: Image) -> float:
    """Mean absolute difference of neighbouring pixels, of 255."""
    import numpy as np

    pixels = np.asarray(image.convert("L"), dtype=float)
    return float(np.abs(np.diff(pixels, axis=0)).mean() + np.abs(np.diff(pixels, axis=1)).mean()) / 2


def stacked(rows: Mapping[str, Image]) -> Image:
    """Pictures below each other, with their labels."""
    from PIL import Image, ImageDraw, ImageFont

    label = LABEL if any(rows) else 0
    width = max(image.width for image in rows.values())
    height = sum(image.height + label for image in rows.values()) + GAP * (len(rows) - 1)
    sheet = Image.new("RGB", (width, height), "white")
    draw, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(15), 0
    for text, image in rows.items():
        draw.text((2, top + 1), text, fill="black", font=font)
        sheet.paste(image, (0, top + label))
        top += image.height + label + GAP
    return sheet


def beside(columns: Mapping[str, Image]) -> Image:
    """Pictures beside each other, with their labels."""
    from PIL import Image

    labelled = [stacked({label: image}) for label, image in columns.items()]
    width = sum(image.width for image in labelled) + GAP * (len(labelled) - 1)
    sheet = Image.new("RGB", (width, max(image.height for image in labelled)), "white")
    left = 0
    for image in labelled:
        sheet.paste(image, (left, 0))
        left += image.width + GAP
    return sheet


def joined(images: Sequence[Image]) -> Image:
    """Pictures of one size beside each other, as they are."""
    from PIL import Image

    step = images[0].width + GAP
    sheet = Image.new("RGB", (step * len(images) - GAP, images[0].height), "white")
    for number, image in enumerate(images):
        sheet.paste(image, (number * step, 0))
    return sheet


def side_by_side(images: Sequence[Image]) -> Image:
    """Pictures of one size beside each other, enlarged."""
    return joined([enlarged(image) for image in images])
