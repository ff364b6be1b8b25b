"""Draws every bundled recipe on one device and on several, and compares latents and pictures bit for bit.

Run it:  python benchmarks/devices.py [--steps 2] [--workers 1,2,4] [--ray 2] [--to FILE] [RECIPE...]

Recipes of embedded models are drawn with them, all others on tiny models of their kind, as the tests do. The devices
are threads of the CPU, so that the kernels are the same; with --ray, processes. A process loads what it computes with,
so that then recipes of embedded models alone are drawn. Steps are few: what differs would differ in the first.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import click

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
from fusionkit.testing.devices import on_devices  # noqa: E402


def is_embedded(recipe: Recipe) -> bool:
    """Whether all of its models come with fusionkit."""
    return all(spec.model in embedded_models() for spec in recipe.specs.values())


def fusions(recipe: Recipe, photo: Path, workers: Sequence[int], pool: Any) -> tuple[Recipe, Fusion, dict[int, Fusion]]:
    """The recipe that is drawn, on one device, and by so many workers."""
    if pool is not None:
        return recipe, Fusion.from_recipe(recipe), {pool.size: Fusion.from_recipe(recipe, pool=pool)}
    if is_embedded(recipe):
        many = {count: Fusion.from_recipe(recipe, device="auto", devices=["cpu"] * count) for count in workers}
        return recipe, Fusion.from_recipe(recipe), many
    made_once, recipe = tiny(recipe, photo)
    pipes = {name: getattr(model, "pipe") for name, model in made_once.models_for(recipe).items()}  # noqa: B009
    # Weights that lie at other addresses, as those of a mapped file do, may be multiplied by other kernels.
    one = Fusion.from_pipes(deepcopy(pipes))
    made = {
        count: Fusion(one.infos, lambda r, count=count: on_devices(pipes, one.infos, r, ["cpu"] * count), recipe)  # type: ignore[misc]
        for count in workers
    }
    return recipe, one, made


def compared(name: str, photo: Path, workers: Sequence[int], steps: int, pool: Any = None) -> dict[str, Any]:
    """What came of one recipe."""
    whole, one, many = fusions(load_recipes(name)[0], photo, workers, pool)
    size = whole.batch_size or 2
    for count in (steps, 4, whole.steps):
        recipe = changed(whole, {"steps": count, "batch_size": size})
        try:
            plan = one.plan(recipe)
        except RecipeError:
            continue
        break
    result = one.run(recipe, progress=False)
    found: dict[str, Any] = {"recipe": name, "steps": recipe.steps, "views": sum(plan.views)}
    for count, fusion in many.items():
        fields = {"devices": ("cpu",) * count, "device": "auto"} if fusion.recipe.devices else {}
        other = fusion.run(recipe.model_copy(update=fields), progress=False)
        same = other.latents_hash == result.latents_hash, other.image.tobytes() == result.image.tobytes()
        found[str(count)] = all(same) and other.forward_passes == result.forward_passes
    return found


def _pool(size: int | None) -> Any:
    if size is None:
        return nullcontext()
    from fusionkit.distributed.ray_pool import RayPool

    return RayPool(size, device="cpu")


@click.command()
@click.option("--steps", default=2)
@click.option("--workers", default="1,2,4")
@click.option("--ray", type=int, help="So many workers on Ray, in place of threads.")
@click.option("--to", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1)
def main(steps: int, workers: str, ray: int | None, to: Path | None, names: Sequence[str]) -> None:
    """Compare, recipe by recipe; the exit status tells whether all are equal."""
    from tempfile import TemporaryDirectory

    warnings.simplefilter("ignore")
    counts = [int(each) for each in workers.split(",")] if ray is None else [ray]
    names = names or list(bundled_recipes())
    if ray is not None:
        names = [name for name in names if is_embedded(load_recipes(name)[0])]
    failed = 0
    with TemporaryDirectory() as folder, _pool(ray) as pool:
        photo = Path(folder, "photo.png")
        Image.linear_gradient("L").resize((128, 128)).convert("RGB").save(photo)
        for name in names:
            try:
                found = compared(name, photo, counts, steps, pool)
            except Exception as error:  # noqa: BLE001 - it is told, and the next recipe drawn
                found = {"recipe": name, "error": f"{type(error).__name__}: {error}"}
            failed += "error" in found or not all(found[str(count)] for count in counts)
            line = json.dumps(found)
            click.echo(line)
            if to is not None:
                with to.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
    if failed:
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main()
