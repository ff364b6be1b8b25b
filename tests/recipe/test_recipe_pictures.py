"""Where the pictures are that a recipe names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fusionkit.recipe.recipe_file import load_recipes

# An entry of a recipe that names a picture, and where its plugin holds the path.
NAMING = [
    ("progressive-upscaling: {from: a.png}", lambda plugin: plugin.from_),
    ("controlnet: {model: tinyworld/canny, from: a.png}", lambda plugin: plugin.from_),
    ("style-alignment: {reference: {image: a.png}}", lambda plugin: plugin.reference.image),
]


@pytest.fixture
def recipe_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work").mkdir()
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "recipes"


@pytest.mark.parametrize(("entry", "path_of"), NAMING, ids=[entry.partition(":")[0] for entry, _ in NAMING])
def test_a_picture_is_in_the_working_folder_or_else_beside_the_recipe(
    recipe_folder: Path, entry: str, path_of: Any
) -> None:
    file = recipe_folder / "r.yaml"
    file.write_text(f"model: tinyworld/scenes\nprompt: a hill\nplugins:\n  - {entry}\n")

    def named() -> Path:
        return Path(path_of(load_recipes(file)[0].plugins[0]))

    assert named() == Path("a.png")
    Image.new("RGB", (64, 64)).save(recipe_folder / "a.png")
    assert named() == recipe_folder / "a.png"
    Image.new("RGB", (64, 64)).save("a.png")
    assert named() == Path("a.png")


def test_a_picture_lies_beside_the_recipe_that_names_it_also_where_another_one_extends_that(
    recipe_folder: Path, tmp_path: Path
) -> None:
    (recipe_folder / "more").mkdir()
    (recipe_folder / "base.yaml").write_text(
        "model: tinyworld/scenes\nprompt: a hill\nplugins:\n  - image-to-image: {from: a.png}\n"
    )
    (recipe_folder / "more" / "r.yaml").write_text("extends: ../base.yaml\nsteps: 3\n")

    def named(*sets: str) -> Path:
        plugin: Any = load_recipes(recipe_folder / "more" / "r.yaml", sets)[0].plugins[0]
        return Path(plugin.from_).resolve()

    Image.new("RGB", (64, 64)).save(recipe_folder / "a.png")
    assert named() == recipe_folder / "a.png"
    Image.new("RGB", (64, 64)).save(recipe_folder / "more" / "a.png")
    assert named() == recipe_folder / "a.png"
    # What the other one names itself lies beside that.
    assert named("plugins.image-to-image.from=a.png") == recipe_folder / "more" / "a.png"
    (recipe_folder / "more" / "r.yaml").write_text("extends: ../base.yaml\nplugins:\n  image-to-image: {from: a.png}\n")
    assert named() == recipe_folder / "more" / "a.png"
    Image.new("RGB", (64, 64)).save("a.png")
    assert named() == tmp_path / "work" / "a.png"


def test_a_bundled_recipes_picture_is_found_where_a_file_extends_it(recipe_folder: Path) -> None:
    (recipe_folder / "mine.yaml").write_text("extends: inpaint-vista\nsteps: 3\n")
    plugins: Any = load_recipes(recipe_folder / "mine.yaml")[0].plugins
    assert [plugin.from_.name for plugin in plugins if plugin.plugin_name == "inpaint" and plugin.from_.is_file()] == [
        "lake.png"
    ]
