"""What the tests of evaluation share: metrics, a feature network and pictures whose scores can be told by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from fusionkit.evaluation import Features, Metric, Picture, Tools
from fusionkit.pictures.image import save_image

SCENES = """\
model: tinyworld/scenes
prompt: {prompt}
size: {size}
steps: 4
seed: {seed}
plugins:
{plugins}
"""


class Brightness(Metric):
    """The mean grey level of a picture; none for a black one."""

    better = "higher"
    unit: ClassVar[str] = "levels"
    gain: float = 1.0

    def describe(self, picture: Picture, tools: Tools) -> float:
        level = float(picture.pixels().mean()) * self.gain
        return level if level else float("nan")


class Spread(Metric):
    """How far the mean grey level of the crops is from the reference's, in units of the reference's deviation."""

    better = "lower"
    needs: ClassVar[frozenset[str]] = frozenset({"reference", "crop"})
    least = 2
    resamples = 50

    def describe(self, picture: Picture, tools: Tools) -> Any:
        return picture.crops().mean(axis=(1, 2, 3))

    def score(self, described: Any, reference: Any) -> float:
        known = np.concatenate(reference)
        return float(abs(np.concatenate(described).mean() - known.mean()) / known.std(ddof=1))


class Windows(Metric):
    """How many windows the last stage had."""

    needs: ClassVar[frozenset[str]] = frozenset({"views"})

    def describe(self, picture: Picture, tools: Tools) -> float:
        return len(picture.views())


class Apart(Metric):
    """The mean difference from the partner, in grey levels."""

    needs: ClassVar[frozenset[str]] = frozenset({"partner"})

    def describe(self, picture: Picture, tools: Tools) -> float:
        assert picture.partner is not None
        other = Picture(picture.partner, picture.size).pixels()
        return float(np.abs(picture.pixels().astype(float) - other).mean())


class Colours(Features):
    """The mean colour of each crop; counts the crops that it was asked about."""

    name = "colours"
    size = (8, 8)
    seen = 0

    @classmethod
    def from_weights(cls, path, device, *, others=None, download=True):
        return cls()

    def pooled(self, crops):
        self.seen += len(crops)
        return crops.astype(np.float64).mean(axis=(1, 2))


def noisy(folder: Path, levels: Iterable[float], size: tuple[int, int] = (32, 16), suffix: str = ".png") -> Path:
    """A folder of grey pictures, one for each level; the first is called `a`, the next `b`."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, level in enumerate(levels):
        pixels = np.full((size[1], size[0], 3), round(level), np.uint8)
        Image.fromarray(pixels).save(folder / f"{chr(ord('a') + index)}{suffix}")
    return folder


def told(
    path: Path,
    seed: int = 1,
    size: str = "192x64",
    plugins: str = "  - multidiffusion: {stride: 32}",
    prompt: str = "the sea at noon",
) -> Path:
    """A grey picture that carries a recipe, as those that fusionkit draws."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = map(int, size.split("x"))
    recipe = SCENES.format(prompt=prompt, size=size, seed=seed, plugins=plugins)
    return save_image(Image.new("RGB", (width, height), (seed, 100, 100)), path, {"recipe": recipe, "seed": seed})
