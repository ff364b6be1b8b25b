"""Whether panoramas of eight windows have seams where windows meet, or streaks at their borders.

Neighbouring columns are compared as the metric `seam` does it; the first and last columns, where no window goes on, by
the mean difference of neighbouring columns in the eight at the border, against that in all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionkit import Fusion
from fusionkit.evaluation import Picture, read_pictures
from fusionkit.evaluation.evaluate import score
from fusionkit.evaluation.tools import Tools
from fusionkit.recipe.recipe_file import load_recipes
from fusionkit_metrics.seam import Seam, profile
from fusionkit_vista.evaluate.progress import boxed
from fusionkit_vista.evaluate.samples import chosen_captions
from fusionkit_vista.evaluate.tables import table

COUNT = 20
OUT = Path("out/vista/panoramas")
RECIPE, CHANGES = "panorama", ("plugins.regions=false",)
"""Of the recipe without what it draws at chosen places, since the captions name other things."""
BLOCK = 8
"""Columns of a latent pixel."""


def draw(count: int, seed: int, minutes: float | None, folder: Path) -> list[Picture]:
    """The panoramas of captions at random; those that are there already are kept."""
    fusion = None
    for index in boxed(range(count), "panoramas", minutes):
        path = folder / f"{seed + index:03}.png"
        if not path.exists():
            fusion = fusion or Fusion.from_recipe(load_recipes(RECIPE, CHANGES)[0])
            fusion(prompts(count, seed)[index], seed=seed + index, progress=False).save(path)
    return [each for each in read_pictures(folder) if each.path.stem.isdecimal()][:count]


def prompts(count: int, seed: int) -> list[str]:
    """Full captions at random."""
    return chosen_captions(count, seed + 100)


def blocks(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean jump of brightness between neighbouring columns, in each block of eight: (W / 8,)."""
    jumps = profile(pixels)
    jumps = np.append(jumps, jumps[-1])  # the last block has one pair less
    return np.asarray(jumps.reshape(-1, BLOCK).mean(1))


def borders(profiles: NDArray[np.float64]) -> dict[str, float]:
    """How the first and the last block compare with the mean of all, and between what nine in ten blocks lie.

    Args:
        profiles: Blocks of each panorama, (n, blocks).
    """
    mean = profiles.sum(0) / profiles.mean(1).sum()
    low, high = np.quantile(mean, [0.05, 0.95])
    return {"first": float(mean[0]), "last": float(mean[-1]), "low": float(low), "high": float(high)}


def main(options: argparse.Namespace) -> None:
    """Draw the panoramas and print the table."""
    folder = options.out or OUT
    pictures = draw(options.count or COUNT, options.seed, options.minutes, folder)
    metric, tools = Seam(), Tools(device="cpu")
    described = [metric.describe(each, tools) for each in pictures]
    found = score(metric, described).score
    edges = borders(np.stack([blocks(each.pixels()) for each in pictures]))
    rows = [
        ("where windows begin or end", f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"),
        ("the first eight columns", f"{edges['first']:.2f}"),
        ("the last eight columns", f"{edges['last']:.2f}"),
        ("nine in ten of all blocks of eight", f"{edges['low']:.2f} to {edges['high']:.2f}"),
    ]
    print(table(["difference of neighbouring columns", "times that elsewhere"], rows))
    print(f"\n{len(pictures)} panoramas; each alone: " + ", ".join(f"{metric.each(each):.2f}" for each in described))
