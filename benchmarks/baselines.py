"""What methods cost against plain windows, in one run on one machine: seconds of denoising as ratios.

Run it:  python benchmarks/baselines.py
         python benchmarks/baselines.py --set size=512x128 --rounds 5
"""

from __future__ import annotations

import argparse
import os
import statistics

import torch

from fusionkit import Fusion
from fusionkit.recipe.recipe_file import load_recipes

BASE = ("steps=10", "size=384x128", "scheduler=ddim", "prompt=a landscape poster of mountains at noon in clear weather")
PLAIN = "multidiffusion: {stride: 32}"
# What each method's paper, or arXiv 2412.12771 of it, says of its time against MultiDiffusion's; None where nothing is.
METHODS: dict[str, tuple[str, float | None]] = {
    "multidiffusion": (PLAIN, 1.0),
    "guided-fusion": (f"{PLAIN}, guided-fusion", 1.0),
    "sync-diffusion": (f"{PLAIN}, sync-diffusion", 10.5),
    "elastic-diffusion": ("elastic-diffusion: {resampling: 10}", 5.6),
    "shifted-windows": ("shifted-windows: {axes: x}", None),
}


def main() -> None:
    """Run each method in turn, and print the ratios of the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()

    fusions = {
        name: Fusion.from_recipe(load_recipes("panorama", [*BASE, f"plugins=[{plugins}]", *options.sets])[0])
        for name, (plugins, _) in METHODS.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in fusions}
    passes: dict[str, int] = {}
    for number in range(options.rounds + 1):
        # In another order each round, so that a machine that grows slower or faster favours none.
        for name in list(fusions) if number % 2 else list(reversed(fusions)):
            result = fusions[name](progress=False)
            passes[name] = result.forward_passes
            if number > 0:  # the first one loads the weights
                seconds[name].append(result.denoising_seconds)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{options.rounds} rounds, {torch.get_num_threads()} threads, load {load:.1f}")
    print("| method | passes | seconds, median | to MultiDiffusion | published |\n| --- | --- | --- | --- | --- |")
    for name, (_, published) in METHODS.items():
        ratios = [own / plain for own, plain in zip(seconds[name], seconds["multidiffusion"], strict=True)]
        print(
            f"| {name} | {passes[name]} | {statistics.median(seconds[name]):.2f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | {published or ''} |"
        )


if __name__ == "__main__":
    main()
