"""Draws every bundled recipe on one device and on several, and compares latents and pictures bit for bit.

Run it:  python benchmarks/devices.py [--steps 2] [--workers 1,2,4] [--ray] [--to FILE] [RECIPE...]

Recipes of embedded models are drawn with them, all others on tiny models of their kind, which are saved into a folder
and loaded from there as any model is. The devices are threads on the CPU, so that the kernels are the same; with --ray,
processes. Steps are few: what differs would differ in the first.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import click

# Several processes on few cores: threads that spin while they wait take them from those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tests" / each) for each in ("recipe", "models/families", "models", "golden")]

from PIL import Image  # noqa: E402
from tiny_recipes import tiny  # noqa: E402

from fusionkit import Fusion  # noqa: E402
from fusionkit.errors import RecipeError  # noqa: E402
from fusionkit.models.embedded import embedded_models  # noqa: E402
from fusionkit.recipe import Recipe  # noqa: E402
from fusionkit.recipe.assemble import bundled_recipes  # noqa: E402
from fusionkit.recipe.made import changed  # noqa: E402
from fusionkit.recipe.recipe_file import load_recipes  # noqa: E402


def is_embedded(recipe: Recipe) -> bool:
    """Whether all of its models come with fusionkit."""
    return all(spec.model in embedded_models() for spec in recipe.specs.values())


def drawable(recipe: Recipe, photo: Path, folder: Path) -> Recipe:
    """The recipe itself where its models are embedded, and otherwise on tiny models that are saved in a folder."""
    if is_embedded(recipe):
        return recipe
    made, recipe = tiny(recipe, photo)
    for name, model in made.models_for(recipe).items():
        getattr(model, "pipe").save_pretrained(folder / name)  # noqa: B009
    names = list(made.infos)
    fields = {name: getattr(recipe, name) for name in recipe.model_fields_set}
    if len(names) == 1:
        return Recipe(**fields, model=str(folder / names[0]))
    return Recipe(**fields, models={name: str(folder / name) for name in names})


@dataclass(frozen=True)
class Drawn:
    """What of a picture must be the same, whoever has drawn it."""

    latents: str
    pixels: str
    passes: int


def drawn(fusion: Fusion, recipe: Recipe) -> Drawn:
    """Draw, and keep what is compared."""
    result = fusion.run(recipe, progress=False)
    return Drawn(result.latents_hash, sha256(result.image.tobytes()).hexdigest(), result.forward_passes)


def few_steps(whole: Recipe, steps: int) -> Recipe:
    """The recipe with so many steps, or with as few as its plugins can do with; its batches are pinned."""
    alone = Fusion.from_recipe(whole)
    for count in (steps, 4, whole.steps):
        recipe = changed(whole, {"steps": count, "batch_size": whole.batch_size or 2})
        try:
            alone.plan(recipe)
        except RecipeError:
            continue
        break
    return recipe


@contextmanager
def workers_of(count: int, ray: bool) -> Iterator[Callable[[Recipe], Fusion]]:
    """Makes the models of a recipe on so many workers."""
    if not ray:
        yield lambda recipe: Fusion.from_recipe(recipe, device="auto", devices=["cpu"] * count)
        return
    from fusionkit.distributed.ray_pool import RayPool

    with RayPool(count, device="cpu") as pool:
        yield lambda recipe: Fusion.from_recipe(recipe, pool=pool)


@click.command()
@click.option("--steps", default=2)
@click.option("--workers", default="1,2,4")
@click.option("--ray", is_flag=True, help="Workers are processes on Ray, in place of threads.")
@click.option("--to", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1)
def main(steps: int, workers: str, ray: bool, to: Path | None, names: Sequence[str]) -> None:
    """Compare, recipe by recipe; the exit status tells whether all are equal."""
    from tempfile import TemporaryDirectory

    warnings.simplefilter("ignore")
    alone: dict[str, tuple[Recipe, Drawn]] = {}
    failed = 0

    def tell(found: dict[str, Any]) -> None:
        click.echo(line := json.dumps(found))
        if to is not None:
            with to.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    with TemporaryDirectory() as folder:
        photo = Path(folder, "photo.png")
        Image.linear_gradient("L").resize((128, 128)).convert("RGB").save(photo)
        for number, count in enumerate(int(each) for each in workers.split(",")):
            with workers_of(count, ray) as made:
                for name in names or list(bundled_recipes()):
                    try:
                        if number == 0:
                            recipe = few_steps(drawable(load_recipes(name)[0], photo, Path(folder, name)), steps)
                            alone[name] = recipe, drawn(Fusion.from_recipe(recipe), recipe)
                        recipe, expected = alone[name]
                        fusion = made(recipe)
                        equal = drawn(fusion, fusion.recipe) == expected
                        tell({"recipe": name, "workers": count, "steps": recipe.steps, "equal": equal})
                    except Exception as error:  # noqa: BLE001 - it is told, and the next recipe drawn
                        equal = False
                        tell({"recipe": name, "workers": count, "error": f"{type(error).__name__}: {error}"})
                    failed += not equal
    if failed:
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main()
