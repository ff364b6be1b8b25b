"""Every bundled recipe and comparison, drawn as far as its first step on a tiny checkpoint of its kind.

The steps, the scheduler and the plugins are the recipe's own; sizes are divided by what the tiny model's window is
smaller. Models that come with the package are drawn with as they are. LoRAs are left out: none fits a tiny model.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fusionkit import Cancelled, Fusion, Plugin
from fusionkit.comparison.document import bundled_comparisons, read_comparison
from fusionkit.loop.stage import Stage, Step
from fusionkit.models.load import load_pipeline
from fusionkit.recipe import Recipe
from fusionkit.recipe.assemble import bundled_recipes
from fusionkit.recipe.recipe_file import load_recipes
from fusionkit.testing.tiny import tiny_pipeline

CHECKPOINTS = Path(__file__).parents[1] / "golden" / "checkpoints"
NET = CHECKPOINTS / "tiny-controlnet"
# By how much the tiny models' windows are smaller.
SMALLER = {"sd": 512 // 64, "sdxl": 1024 // 256}
OF_THE_MODEL = {"model", "models", "revision", "variant", "loras"}
IN_PIXELS = ("stride", "jitter")


def recipes() -> Iterator[tuple[str, Recipe]]:
    """Each bundled recipe, and each setting of each bundled comparison, by a name."""
    for name in bundled_recipes():
        yield name, load_recipes(name)[0]
    for name, path in bundled_comparisons().items():
        for setting in read_comparison(path).settings:
            yield f"{name}: {setting.title}", setting.file.recipes[0]


RECIPES = dict(recipes())


LOADED: dict[str, Fusion] = {}


@lru_cache
def tiny_xl() -> Any:
    """One whose denoiser has as many levels as SDXL's, where prompts for patches look."""
    import torch

    return load_pipeline(str(CHECKPOINTS / "tiny-sdxl"), "sdxl", dtype=torch.float32)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.linear_gradient("L").resize((128, 128)).convert("RGB").save(path)
    return path


def scaled(plugin: Plugin, factor: int, photo: Path) -> Plugin:
    """A plugin as it would be for a model whose window is so much smaller; files that are the user's own are ours."""
    changes: dict[str, Any] = {}
    for name in IN_PIXELS:
        if value := getattr(plugin, name, None):
            changes[name] = tuple(each // factor for each in value) if isinstance(value, tuple) else value // factor
    if plugin.plugin_name == "controlnet":
        changes["model"] = str(NET)
    if getattr(plugin, "from_", None) is not None:
        changes["from_"] = photo
    return type(plugin).model_validate({**dict(plugin), **changes})


def tiny(recipe: Recipe, photo: Path) -> tuple[Fusion, Recipe]:
    """Tiny models in place of a recipe's, and the recipe for them."""
    sources = [spec.model for spec in recipe.specs.values()]
    kind: Any = "sdxl" if any("xl" in source for source in sources) else "sd"
    factor = SMALLER[kind]
    width, height = recipe.size
    fields = {name: getattr(recipe, name) for name in recipe.model_fields_set - OF_THE_MODEL}
    fields["size"] = (width // factor, height // factor)
    fields["plugins"] = [scaled(plugin, factor, photo) for plugin in recipe.plugins]
    pipes = {
        name: tiny_xl() if kind == "sdxl" else tiny_pipeline("sd", sources.index(spec.model))
        for name, spec in recipe.specs.items()
    }
    return Fusion.from_pipes(pipes), Recipe(**fields)


@pytest.mark.parametrize("name", RECIPES)
def test_the_first_step_is_drawn(name: str, photo: Path) -> None:
    recipe = RECIPES[name]
    if all(spec.model.startswith("tinyworld/") for spec in recipe.specs.values()):
        fusion = LOADED.setdefault(repr(recipe.specs), Fusion.from_recipe(recipe))
    else:
        fusion, recipe = tiny(recipe, photo)
    drawn: list[tuple[Stage, Step]] = []

    def end(stage: Stage, step: Step, canvas: Any) -> bool:
        assert canvas.isfinite().all()
        drawn.append((stage, step))
        return False

    with pytest.raises(Cancelled):
        fusion.run(recipe, callback=end, progress=False)

    ((stage, step),) = drawn
    assert (stage.index, step.index, step.total) == (0, 0, stage.plan.steps or recipe.steps)
