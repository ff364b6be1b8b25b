"""Every scheduler with every bundled recipe on tiny models, killed after each of its steps and gone on with.

    python tests/kills/matrix.py
    python tests/kills/matrix.py --schedulers unipc,heun --recipes accdiffusion,panorama

A process writes a checkpoint after one step and kills itself by SIGKILL; the next one goes on from what is in the
folder, and so on; the last one ends. Its latents have the hash of a run that nobody killed. Recipes that differ in
their models alone are killed with two schedulers, all others with each.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / "recipe")]

import torch  # noqa: E402
from killing import finished  # noqa: E402
from PIL import Image  # noqa: E402
from tiny_recipes import scaled, tiny  # noqa: E402

from fusionkit import Fusion, FusionError, Recipe  # noqa: E402
from fusionkit.models.embedded import embedded_models  # noqa: E402
from fusionkit.models.schedulers.by_name import SHORT_NAMES  # noqa: E402
from fusionkit.recipe.assemble import bundled_recipes  # noqa: E402
from fusionkit.recipe.recipe_file import load_recipes  # noqa: E402
from fusionkit.runs.checkpoints.keeper import Keeper  # noqa: E402

STEPS = 4
"""Of each stage: what pndm needs; upscaling has several stages."""

WINDOW = 128
"""Pixels along a side of a window at most, so that a step is quick."""

TWINS = ("ddim", "dpm++-2m-sde")
"""With these schedulers recipes are killed that differ from another one in their models alone."""


@dataclass
class Found:
    """What came of it."""

    cells: int = 0
    kills: int = 0
    refused: dict[str, list[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def short(name: str, photo: Path) -> tuple[Fusion, Recipe]:
    """A bundled recipe on tiny models, of few steps; with those that come with the package on a smaller canvas."""
    recipe = load_recipes(name)[0]
    if all(spec.model in embedded_models() for spec in recipe.specs.values()):
        fusion = Fusion.from_recipe(recipe)
        return fusion, smaller(recipe, fusion.info.window[0])
    fusion, recipe = tiny(recipe, photo)
    window = fusion.info.window[0]
    if window > WINDOW:
        changes = {"window": (WINDOW, WINDOW), "size": tuple(side * WINDOW // window for side in recipe.size)}
        plugins = [scaled(each, window // WINDOW, photo) for each in recipe.plugins]
        recipe = Recipe.model_validate({**dict(recipe), **changes, "plugins": plugins})
    return fusion, smaller(recipe, min(window, WINDOW))


def smaller(recipe: Recipe, window: int) -> Recipe:
    """The recipe with few steps in all of its stages, on a canvas of two windows a side at most."""
    plugins = []
    for each in recipe.plugins:
        changes = {"steps": STEPS} if getattr(each, "steps", None) is not None else {}
        # Stages that it names may be larger than the canvas is now.
        changes |= {"stages": ()} if getattr(each, "stages", None) else {}
        # And regions may lie beyond it.
        changes |= {"boxes": {}} if getattr(each, "boxes", None) else {}
        plugins.append(type(each).model_validate({**dict(each), **changes}))
    size = tuple(min(side, 2 * window) for side in recipe.size)
    return Recipe.model_validate({**dict(recipe), "steps": STEPS, "size": size, "plugins": plugins})


def methods(recipe: Recipe) -> str:
    """What tells a recipe's methods from those of others."""
    return json.dumps([{each.plugin_name: each.options()} for each in recipe.plugins], default=str, sort_keys=True)


def cells(options: argparse.Namespace, photo: Path) -> Iterator[tuple[str, str, Fusion, Recipe]]:
    """Recipes with schedulers."""
    seen: set[str] = set()
    names = options.recipes.split(",") if options.recipes else sorted(bundled_recipes())
    for name in sorted(names, key=lambda each: "tinyworld" in each):
        fusion, recipe = short(name, photo)
        twin = methods(recipe) in seen
        seen.add(methods(recipe))
        schedulers = options.schedulers.split(",") if options.schedulers else TWINS if twin else SHORT_NAMES
        for scheduler in schedulers:
            yield name, scheduler, fusion, Recipe.model_validate({**dict(recipe), "scheduler": scheduler})


def killed_everywhere(fusion: Fusion, recipe: Recipe, folder: Path) -> tuple[int, str]:
    """Kill a run after each of its steps; how often that was, and the hash of its latents in the end."""
    path, told, result = folder / "x.checkpoint.safetensors", folder / "told", folder / "hash"

    def work() -> None:
        step_ended = Keeper.step_ended

        def last(self: Keeper, *args: Any) -> None:
            step_ended(self, *args)
            os.kill(os.getpid(), signal.SIGKILL)

        Keeper.step_ended = last  # type: ignore[method-assign]
        found = fusion.run(recipe, progress=False, checkpoint=path, checkpoint_every=0, resume=True)
        result.write_text(found.latents_hash)
        found.forget_checkpoint()

    kills = 0
    while (code := finished(work, told)) == -signal.SIGKILL:
        kills += 1
    if code:
        raise RuntimeError(told.read_text().strip().splitlines()[-1])
    left = sorted(each.name for each in folder.iterdir() if each not in (told, result))
    if left:
        raise RuntimeError(f"it left {left}")
    return kills, result.read_text()


def matrix(options: argparse.Namespace) -> Found:
    """Kill each of the cells."""
    found = Found()
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.png"
        Image.linear_gradient("L").resize((128, 128)).convert("RGB").save(photo)
        for number, (name, scheduler, fusion, recipe) in enumerate(cells(options, photo)):
            try:
                whole = fusion.run(recipe, progress=False)
            except FusionError as error:
                found.refused.setdefault(f"{name}: {' '.join(str(error).split()):.160}", []).append(scheduler)
                continue
            place = Path(folder) / str(number)
            place.mkdir()
            try:
                kills, latents = killed_everywhere(fusion, recipe, place)
            except RuntimeError as error:
                kills, latents, why = 0, "", str(error)
            else:
                why = "" if latents == whole.latents_hash else "other latents"
            found.cells += 1
            found.kills += kills
            if why:
                found.wrong.append(f"{name}, {scheduler}: {why}")
            if options.verbose or why:
                print(f"{name}, {scheduler}: {kills} kills{', wrong: ' * bool(why)}{why}", flush=True)
    return found


def main() -> int:
    """Kill, tell, and end with 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", help="names of bundled recipes, with commas between; all by default")
    parser.add_argument("--schedulers", help="short names, with commas between; all by default")
    parser.add_argument("--verbose", action="store_true", help="a line for each recipe with a scheduler")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    found = matrix(options)
    for line, schedulers in found.refused.items():
        print(f"refused, as without a kill: {line} ({', '.join(schedulers)})")
    for line in found.wrong:
        print(f"wrong: {line}")
    seconds = time.monotonic() - began
    print(f"{found.cells} recipes with schedulers, {found.kills} kills, {len(found.wrong)} wrong, {seconds:.0f} s")
    return bool(found.wrong) or not found.cells


if __name__ == "__main__":
    sys.exit(main())
