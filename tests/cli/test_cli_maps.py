"""`--save-maps`: what is written beside the picture, what is said, and that a failure does not cost the picture."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from command_line import RECIPE, Install, Run
from PIL import Image

PROMPTS = RECIPE.replace("prompt: a hill", "prompt: a hill, the sea").replace("steps: 3", "steps: 2")
PROMPTS = PROMPTS.partition("plugins:")[0] + (
    "plugins:\n  - patch-content-prompts: {levels: [1]}\noutput: out/{recipe}-{seed}.png\n"
)
MAPS = ["word-02-hill", "word-04-sea"]


@pytest.fixture(autouse=True)
def recipe(folder: Path) -> None:
    Path("r.yaml").write_text(PROMPTS)


def test_maps_are_written_beside_the_picture_and_listed(fusionkit: Run) -> None:
    ran = fusionkit("run", "r.yaml", "--save-maps")
    assert ran.code == 0
    assert re.search(r"\n  2 maps beside it: r-0-word-02-hill\.png, r-0-word-04-sea\.png\n$", ran.out)
    assert sorted(os.listdir("out")) == sorted(["r-0.png", *(f"r-0-{name}.png" for name in MAPS)])
    with Image.open("out/r-0-word-02-hill.png") as image:
        assert image.size == (768, 424)


def test_maps_overwrite_nothing_and_bear_the_name_of_their_picture(fusionkit: Run) -> None:
    Path("out").mkdir()
    Path("out/r-0.png").write_text("mine")
    Path("out/r-0-2-word-02-hill.png").write_text("mine too")
    assert fusionkit("run", "r.yaml", "-q", "--save-maps").out == "out/r-0-2.png\n"
    assert Path("out/r-0-2-word-02-hill.png").read_text() == "mine too"
    expected = ["r-0.png", "r-0-2.png", "r-0-2-word-02-hill.png", "r-0-2-word-02-hill-2.png", "r-0-2-word-04-sea.png"]
    assert sorted(os.listdir("out")) == sorted(expected)
    fusionkit("run", "r.yaml", "-q", "--save-maps", "-o", "out/r-0-2.png", "--overwrite")
    assert sorted(os.listdir("out")) == sorted(expected)


def test_without_the_option_there_are_none(fusionkit: Run) -> None:
    assert fusionkit("run", "r.yaml", "-q").code == 0
    assert os.listdir("out") == ["r-0.png"]


def test_maps_change_nothing_and_replay_has_them_too(fusionkit: Run) -> None:
    fusionkit("run", "r.yaml", "-q", "--save-maps")
    ran = fusionkit("replay", "out/r-0.png", "-o", "again.webp", "-q", "--save-maps")
    assert ran.out.splitlines()[-1].startswith("equal: ")
    assert {"again.webp", *(f"again-{name}.png" for name in MAPS)} <= set(os.listdir())


def test_a_recipe_whose_plugins_have_none(fusionkit: Run) -> None:
    Path("r.yaml").write_text(RECIPE.replace("steps: 3", "steps: 1"))
    assert fusionkit("run", "r.yaml", "-q", "--save-maps") == (
        0,
        "out/r-0.png\n",
        "no plugin of this recipe has maps to save\n",
    )


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("1 / 0", r"plugin 'broken' failed in hook 'maps': ZeroDivisionError: division by zero"),
        (
            "{'../out': image}",
            r"hook 'maps' answered the name '../out'; expected up to 60 letters, digits and - \(asked: broken\)",
        ),
    ],
)
def test_a_plugin_that_fails_to_draw_does_not_cost_the_picture(
    fusionkit: Run, install: Install, answer: str, says: str
) -> None:
    install(
        "broken",
        "from fusionkit import Plugin, hookimpl\n"
        "class Broken(Plugin):\n"
        "    @hookimpl\n"
        "    def maps(self, image):\n"
        f"        return {answer}\n",
    )
    Path("r.yaml").write_text(PROMPTS.replace("plugins:\n", "plugins:\n  - broken\n"))
    ran = fusionkit("run", "r.yaml", "-q", "--save-maps")
    assert ran.code == 1
    assert re.search(says, ran.err)
    assert "Traceback" not in ran.err
    assert ran.out == "out/r-0.png\n"
    assert os.listdir("out") == ["r-0.png"]


def test_two_plugins_with_maps_of_one_name_keep_both(fusionkit: Run) -> None:
    twice = "  - patch-content-prompts: {levels: [1]}\n"
    Path("r.yaml").write_text(PROMPTS.replace(twice, twice * 2))
    fusionkit("run", "r.yaml", "-q", "--save-maps")
    assert {f"r-0-{name}{number}.png" for name in MAPS for number in ("", "-2")} < set(os.listdir("out"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("threshold: 1.2", r"'threshold' of patch-content-prompts must be at most 1, not 1\.2"),
        (
            "levels: [16]",
            r"patch-content-prompts: .*tiny-sd has no cross-attention at levels \[16\]; it has it at levels \[",
        ),
    ],
)
def test_bad_options_are_one_line_before_any_weights(fusionkit: Run, options: str, says: str) -> None:
    Path("r.yaml").write_text(PROMPTS.replace("levels: [1]", options))
    ran = fusionkit("validate", "r.yaml")
    assert ran.code == 2
    (line,) = ran.err.splitlines()
    assert re.search(rf"^r\.yaml:9:\d+: {says}", line)
