"""How much of the denoising time passes outside the model's forward passes.

Run it:  python benchmarks/overhead.py
         python benchmarks/overhead.py --recipe benchmarks/accdiffusion-tiny-sdxl.yaml --limit 0.1
"""

from __future__ import annotations

import argparse
import os
import statistics

import torch

from fusionkit import Fusion


def main() -> None:
    """Run the recipe a few times and print the share of the time outside forward passes: min, median and max."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="panorama-tinyworld")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--limit", type=float, default=0.05, help="the largest median share that is wanted")
    options = parser.parse_args()

    fusion = Fusion.from_recipe(options.recipe, steps=options.steps)
    fusion(progress=False, steps=1)  # loads the weights and warms up
    shares = []
    for number in range(options.runs):
        result = fusion(progress=False)
        shares.append(1 - result.forward_share)
        print(
            f"run {number + 1}: {result.denoising_seconds:6.2f} s denoising, "
            f"{result.denoising_seconds * result.forward_share:6.2f} s of it in {result.forward_passes} forward passes "
            f"(the floor); {shares[-1]:.1%} outside"
        )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{options.recipe}, {options.steps} steps, {torch.get_num_threads()} threads, load {load:.1f}")
    print(
        f"outside forward passes: min {min(shares):.1%}, median {statistics.median(shares):.1%}, "
        f"max {max(shares):.1%}; at most {options.limit:.0%} wanted"
    )
    raise SystemExit(statistics.median(shares) > options.limit)


if __name__ == "__main__":
    main()
