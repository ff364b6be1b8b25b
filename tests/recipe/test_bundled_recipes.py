"""Every bundled recipe and comparison, drawn as far as its first step on a tiny checkpoint of its kind.

Models that come with the package are drawn with as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny_recipes import tiny

from fusionkit import Cancelled, Fusion
from fusionkit.comparison.document import bundled_comparisons, read_comparison
from fusionkit.loop.stage import Stage, Step
from fusionkit.models.embedded import embedded_models
from fusionkit.recipe import Recipe
from fusionkit.recipe.assemble import bundled_recipes
from fusionkit.recipe.recipe_file import load_recipes


def recipes() -> Iterator[tuple[str, Recipe]]:
    """Each bundled recipe, and each setting of each bundled comparison, by a name."""
    for name in bundled_recipes():
        yield name, load_recipes(name)[0]
    for name, path in bundled_comparisons().items():
        for setting in read_comparison(path).settings:
            yield f"{name}: {setting.title}", setting.file.recipes[0]


RECIPES = dict(recipes())


LOADED: dict[str, Fusion] = {}


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.linear_gradient("L").resize((128, 128)).convert("RGB").save(path)
    return path


@pytest.mark.parametrize("name", RECIPES)
def test_the_first_step_is_drawn(name: str, photo: Path) -> None:
    recipe = RECIPES[name]
    if all(spec.model in embedded_models() for spec in recipe.specs.values()):
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
    assert (stage.index, step.index, step.total) == (0, 0, stage.sampling_steps)
