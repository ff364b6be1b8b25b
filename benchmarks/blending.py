"""What a run costs that blends models, against the single models' runs together.

Run it:  python benchmarks/blending.py
         python benchmarks/blending.py --recipe magicfusion-panorama-tinyworld --rounds 7
"""

from __future__ import annotations

import argparse
import os
import statistics

import torch

from fusionkit import Fusion, Recipe
from fusionkit.recipe.recipe_file import load_recipes


def alone(recipe: Recipe, name: str) -> Fusion:
    """One of the recipe's models, in the same recipe without what blends them."""
    others = [plugin for plugin in recipe.plugins if plugin.plugin_name != "saliency-noise-blending"]
    given = {field: getattr(recipe, field) for field in recipe.model_fields_set - {"models", "plugins"}}
    return Fusion.from_recipe(Recipe(**{**given, "model": recipe.specs[name].model, "plugins": others}))


def main() -> None:
    """Run each model alone and all of them blended, in turn, and print the ratio of the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="fine-grained-fusion-tinyworld")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=1.05, help="the largest median ratio that is wanted")
    options = parser.parse_args()

    recipe = load_recipes(options.recipe)[0].model_copy(update={"steps": options.steps})
    blended, singles = Fusion.from_recipe(recipe), {name: alone(recipe, name) for name in recipe.specs}
    for fusion in (blended, *singles.values()):
        fusion(progress=False, steps=2)  # loads the weights and warms up
    ratios = []
    for number in range(options.rounds):
        # In another order each round, so that a machine that grows slower or faster favours neither.
        runs = {"blended": blended, **singles}
        order = list(runs) if number % 2 else list(reversed(runs))
        seconds = {name: runs[name](progress=False).denoising_seconds for name in order}
        ratios.append(seconds["blended"] / sum(seconds[name] for name in singles))
        parts = " + ".join(f"{name} {seconds[name]:.2f} s" for name in singles)
        print(f"round {number + 1}: blended {seconds['blended']:.2f} s, {parts}; ratio {ratios[-1]:.3f}")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{options.recipe}, {options.steps} steps, {torch.get_num_threads()} threads, load {load:.1f}")
    print(
        f"blended against the single runs together: min {min(ratios):.3f}, median {statistics.median(ratios):.3f}, "
        f"max {max(ratios):.3f}; at most {options.limit:g} wanted"
    )
    raise SystemExit(statistics.median(ratios) > options.limit)


if __name__ == "__main__":
    main()
