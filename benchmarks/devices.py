"""Draws every bundled recipe on one device and on several, and compares latents and pictures bit for bit.

Run it:  python benchmarks/devices.py [--steps 2] [--workers 1,2,4] [--ray] [--to FILE] [RECIPE...]

Recipes of embedded models are drawn with them, all others on tiny models of their kind, which are saved into a folder
and loaded from there as any model is. The devices are threads on the CPU, so that the kernels are the same; with --ray,
processes. Steps are few: what differs would differ in the first.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
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


def fusions(recipe: Recipe, workers: Sequence[int], pools: Mapping[int, Any]) -> dict[int, Fusion]:
    """The same recipe on so many workers: threads, or the pools that there are."""
    return {
        count: Fusion.from_recipe(recipe, pool=pools[count])
        if pools
        else Fusion.from_recipe(recipe, device="auto", devices=["cpu"] * count)
        for count in workers
    }


def compared(name: str, folder: Path, workers: Sequence[int], steps: int, pools: Mapping[int, Any]) -> dict[str, Any]:
    """What came of one recipe."""
    whole = drawable(load_recipes(name)[0], folder / "photo.png", folder / name)
    one, many = Fusion.from_recipe(whole), fusions(whole, workers, pools)
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


@contextmanager
def pools_of(workers: Sequence[int]) -> Iterator[dict[int, Any]]:
    """Pools of so many processes each, on a Ray of this machine's own."""
    from fusionkit.distributed.ray_pool import RayPool
    from fusionkit.distributed.ray_session import end_session, open_session

    open_session(None, sum(workers))
    with ExitStack() as stack:
        stack.callback(end_session)
        yield {count: stack.enter_context(RayPool(count, device="cpu")) for count in workers}


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
    counts = [int(each) for each in workers.split(",")]
    failed = 0
    with TemporaryDirectory() as folder, pools_of(counts) if ray else nullcontext({}) as pools:
        Image.linear_gradient("L").resize((128, 128)).convert("RGB").save(Path(folder, "photo.png"))
        for name in names or list(bundled_recipes()):
            try:
                found = compared(name, Path(folder), counts, steps, pools)
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
