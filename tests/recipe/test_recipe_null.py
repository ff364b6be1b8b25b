"""A key of no value in a recipe that extends another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionkit import RecipeError
from fusionkit.recipe.recipe_file import load_recipes


def test_null_takes_out_what_the_extended_recipe_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text("model: vista/scenes\nsize: 256x128\nsteps: 7\n")
    Path("mine.yaml").write_text("extends: base.yaml\nsize: null\nsteps:\n")
    (recipe,) = load_recipes("mine.yaml")
    assert recipe.model_fields_set & {"size", "steps", "model"} == {"model"}
    # What the base does not say is not taken out, and is empty by mistake.
    Path("mine.yaml").write_text("extends: base.yaml\nseed: null\n")
    with pytest.raises(RecipeError, match="'seed' is empty"):
        load_recipes("mine.yaml")
