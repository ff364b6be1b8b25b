"""`fusionkit new-recipe`: what it writes is valid, says what was asked for, and each comment is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fusionkit import Fusion
from fusionkit.cli import main
from fusionkit.recipe import Recipe
from fusionkit.recipe.problems import options_of
from fusionkit.recipe.recipe_file import load_recipes, parse_recipe
from fusionkit.registry import load


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ran(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["new-recipe", *arguments])


def uncommented(text: str) -> str:
    """The text with the defaults of keys and options taken in, but for those that have none."""
    return re.sub(r"^( *)#(?=[a-z-]+: )", r"\1", text, flags=re.MULTILINE)


def test_it_is_valid_as_it_is_and_as_its_comments_say() -> None:
    done = ran("--plugins", "style-alignment,multidiffusion", "--size", "512x128", "--steps", "5", "-o", "mine.yaml")
    assert done.output == "mine.yaml: run it with  fusionkit run mine.yaml\n"
    text = Path("mine.yaml").read_text(encoding="utf-8")
    assert text.startswith("# Run it:  fusionkit run mine.yaml\n")
    (recipe,) = load_recipes("mine.yaml")
    assert (recipe.model, recipe.size, recipe.steps, recipe.seed) == ("vista/scenes", (512, 128), 5, 0)
    assert [plugin.plugin_name for plugin in recipe.plugins] == ["style-alignment", "multidiffusion"]
    assert recipe.prompt  # the embedded model has an example
    (with_defaults,) = parse_recipe(uncommented(text), "uncommented").recipes
    assert with_defaults.dump() == recipe.model_copy(update={"name": "recipe"}).dump()


def test_each_key_and_each_option_has_its_line() -> None:
    text = ran("--plugins", "regions").output
    for key in set(options_of(Recipe)) - {"name"}:
        assert len(re.findall(rf"^#?{key}:", text, re.MULTILINE)) == 1, key
    for option in options_of(load("regions")):
        assert len(re.findall(rf"^      #?{option}:", text, re.MULTILINE)) == 1, option


def test_from_a_picture_it_says_what_the_picture_says_and_no_more() -> None:
    boat = {"boat": {"box": (16, 0, 64, 64), "adds": "with a boat: a 'small' one"}}
    plugins = [load("regions")(boxes=boat, softness=0.5), load("guided-fusion")()]
    fusion = Fusion.from_pretrained("tinyworld/scenes", plugins=plugins, steps=1, size=(96, 64))
    drawn = fusion("a photo of the sea at noon", seed=3, progress=False)
    drawn.save("liked.png")
    done = ran("liked.png", "--steps", "2", "-o", "again.yaml")
    assert done.exit_code == 0, done.output
    (recipe,) = load_recipes("again.yaml")
    assert recipe.dump() == drawn.recipe.model_copy(update={"name": "again", "steps": 2}).dump()
    assert recipe.output == Recipe().output
    text = Path("again.yaml").read_text(encoding="utf-8")
    assert "      softness: 0.5\n" in text
    assert "#bootstrapping: 0.0\n" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plugins", "rnig"], "no plugin 'rnig'; did you mean 'ring'?"),
        (["--size", "100x100"], "size 100x100 is not divisible by 8"),
        (["--model", "nowhere/at-all.safetensors"], "nowhere/at-all.safetensors"),
        (
            ["--plugins", "exact-size", "--set", "plugins.exact-size.tims=2"],
            "has no option 'tims'; did you mean 'times'?",
        ),
        (["nothing.png"], "no recipe 'nothing.png'"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_and_nothing_is_written(arguments: list[str], said: str) -> None:
    done = ran(*arguments, "-o", "mine.yaml")
    assert done.exit_code != 0
    assert said in done.output
    assert not Path("mine.yaml").exists()


def test_nothing_is_replaced() -> None:
    Path("mine.yaml").write_text("mine")
    done = ran("-o", "mine.yaml")
    assert done.exit_code == 2
    assert done.output == "'mine.yaml' is there already, and is not changed; give another name: -o FILE\n"
    assert Path("mine.yaml").read_text() == "mine"
