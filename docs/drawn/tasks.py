"""Pictures of the pages that say "I want to ...": what a command there draws."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from drawn.begun import lake
from drawn.sheets import IMAGES, beside, joined, run, stacked

if TYPE_CHECKING:
    from PIL.Image import Image

LARGER = "plugins.progressive-upscaling={times: 2, strength: 0.6}"
CASTLE = "plugins.regions={boxes: {castle: {box: [184, 36, 112, 92], adds: with a castle}}}"


def rolled(picture: Image) -> Image:
    """A picture turned by half of its width, so that its edges meet in the middle."""
    from PIL import ImageChops

    return ImageChops.offset(picture, picture.width // 2, 0)


def tiled(picture: Image) -> Image:
    """A picture one and a half times along each axis."""
    from PIL import Image

    sheet = Image.new("RGB", (picture.width * 3 // 2, picture.height * 3 // 2))
    for left in (0, picture.width):
        for top in (0, picture.height):
            sheet.paste(picture, (left, top))
    return sheet


def turn() -> Image:
    """A panorama of 360 degrees, turned around."""
    picture = run(["prompt=a landscape poster of a mountain lake at dawn in mist", "seed=2"], "ring-vista")
    return stacked({"turned by half, so that its edges meet in the middle": rolled(picture)})


def all_around() -> Image:
    """Ring, regions, guided fusion and enlarging in one recipe, as it is and turned around."""
    picture = run([], "all-around-vista")
    return stacked({"as it is": picture, "turned by half, so that its edges meet in the middle": rolled(picture)})


def textures() -> Image:
    """Two textures, each of them one and a half times along each axis."""
    forest = run(["prompt=a woodcut of a forest at dawn"], "texture-vista")
    return beside({"clouds": tiled(run([], "texture-vista")), "a forest": tiled(forest)})


def one_of_nine() -> Image:
    """Nine sketches at half of their size, and one of them in full."""

    def small(seed: int) -> Image:
        sketch = run([f"seed={seed}", "steps=8"], "once-vista")
        return stacked({str(seed + 1): sketch.resize((sketch.width // 2, sketch.height // 2))})

    sketches = [joined([small(seed) for seed in range(first, first + 3)]) for first in (0, 3, 6)]
    rows = {" " * row: sketch for row, sketch in enumerate(sketches)}
    return stacked({**rows, "number 5 in full": run(["seed=4"], "once-vista")})


def quick() -> Image:
    """A panorama as its recipe says, and in less than half of the passes."""
    fewer = run(["plugins.multidiffusion.stride=96", "steps=12"])
    return stacked({"720 forward passes": run([]), "336 forward passes": fewer})


def removed() -> Image:
    """A lake with its castle, and without."""
    return stacked({"the picture": lake(), "without its castle": run([], "remove-vista")})


def from_sketch() -> Image:
    """A sketch, and the picture that is made of it."""
    from PIL import Image

    sketch = Image.open(IMAGES.parents[1] / "recipes" / "sketch.png").convert("RGB")
    return stacked({"the sketch": sketch, "the picture": run([], "sketch-vista")})


def same_place() -> Image:
    """A picture in another style, one thing of it told to its place, without and with its colours."""
    recipe = "image-to-image-vista"
    drawn = {
        "as a woodcut at sunset, and the castle told to its place": run([CASTLE], recipe),
        "with the colours that it had": run([CASTLE, "plugins.colour-match={by: wavelet}"], recipe),
    }
    return stacked({"the picture": lake(), **drawn})


def larger() -> Image:
    """The middle of a panorama that is liked, enlarged by an ordinary program and by its own recipe."""
    from PIL.Image import Resampling

    liked, twice = run([]), run([LARGER])
    part = (480, 0, 1248, 256)
    plain = liked.resize(twice.size, Resampling.BICUBIC)
    return stacked({"enlarged bicubically": plain.crop(part), "enlarged by its own recipe": twice.crop(part)})


def by_region() -> Image:
    """Two models, each in its half."""
    return stacked({"left vista/scenes, right vista/expert": run([], "two-models-by-region-vista")})


def same_look() -> Image:
    """A picture that is liked, and another scene without its light and with it."""
    hills = ["prompt=a landscape poster of green hills", "plugins.regions=false", "size=512x128"]
    with TemporaryDirectory() as folder:
        (liked := run([])).save(path := Path(folder) / "liked.png")
        look = f"plugins.style-alignment={{alpha: 0.8, reference: {{image: {path}}}}}"
        drawn = {"green hills, whose prompt says no time": run(hills), "with its look": run([*hills, look])}
        return stacked({"the picture that is liked": liked.crop((256, 0, 768, 128)), **drawn})
