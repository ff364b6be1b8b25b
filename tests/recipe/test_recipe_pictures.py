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


def test_of_two_files_of_one_name_each_recipe_has_its_own(recipe_folder: Path) -> None:
    (recipe_folder / "child").mkdir()
    for folder in (recipe_folder, recipe_folder / "child"):
        Image.new("RGB", (64, 64)).save(folder / "a.png")
    (recipe_folder / "base.yaml").write_text(
        "model: tinyworld/scenes\nprompt: a hill\nplugins:\n  - inpaint: {from: a.png}\n"
        "  - style-alignment: {reference: {image: a.png}}\n"
    )
    file = recipe_folder / "child" / "r.yaml"
    file.write_text("extends: ../base.yaml\nplugins:\n  inpaint: {mask: a.png}\n")
    plugins: Any = load_recipes(file, ["plugins.controlnet={model: tinyworld/canny, from: a.png}"])[0].plugins
    inpaint, alignment, net = plugins
    own, bases = recipe_folder / "child" / "a.png", recipe_folder / "a.png"
    assert [Path(each).resolve() for each in (inpaint.mask, net.from_)] == [own, own]
    assert [each.resolve() for each in (inpaint.from_, alignment.reference.image)] == [bases, bases]
    # What is in the working folder comes before all of them.
    Image.new("RGB", (64, 64)).save("a.png")
    plugins = load_recipes(file)[0].plugins
    assert [plugins[0].from_, plugins[0].mask, plugins[1].reference.image] == [Path("a.png")] * 3


def test_a_picture_that_lies_beside_the_extending_recipe_alone_is_found_there(recipe_folder: Path) -> None:
    (recipe_folder / "more").mkdir()
    (recipe_folder / "base.yaml").write_text(
        "model: tinyworld/scenes\nprompt: a hill\nplugins:\n  - image-to-image: {from: a.png}\n"
    )
    (recipe_folder / "more" / "r.yaml").write_text("extends: ../base.yaml\n")
    Image.new("RGB", (64, 64)).save(recipe_folder / "more" / "a.png")
    plugin: Any = load_recipes(recipe_folder / "more" / "r.yaml")[0].plugins[0]
    assert plugin.from_.resolve() == recipe_folder / "more" / "a.png"


def test_a_bundled_recipes_picture_is_found_where_a_file_extends_it(recipe_folder: Path) -> None:
    (recipe_folder / "mine.yaml").write_text("extends: inpaint-vista\nsteps: 3\n")
    plugins: Any = load_recipes(recipe_folder / "mine.yaml")[0].plugins
    assert [plugin.from_.name for plugin in plugins if plugin.plugin_name == "inpaint" and plugin.from_.is_file()] == [
        "lake.png"
    ]
