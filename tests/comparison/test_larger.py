"""The commands that draw a comparison's pictures larger: they are such as can run."""

from __future__ import annotations

import pytest

from fusionkit.comparison.larger import OUTPUT, PICTURE, PROMPT, larger
from fusionkit.recipe.recipe_file import parse_recipe

PANORAMA = """
model: tinyworld/scenes
prompt: a photo of the sea at noon
size: 128x64
steps: 2
plugins: [multidiffusion: {stride: 32}]
"""
ENLARGES = "plugins.progressive-upscaling"
RUN = ["fusionkit", "run", PICTURE, "--set"]
UPSCALE = ["fusionkit", "upscale", PICTURE, "--scale", "2", "--model", "tinyworld/scenes", "--prompt", PROMPT]


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([], [*RUN, f"{ENLARGES}={{times: 2, strength: 0.6}}", "-o", OUTPUT]),
        ([f"{ENLARGES}={{times: 2, strength: 0.5}}"], [*RUN, f"{ENLARGES}.times=4", "-o", OUTPUT]),
        (["steps=1"], [*RUN, f"{ENLARGES}={{times: 2, strength: 1}}", "-o", OUTPUT]),
        # Its own stages make its size: twice as large, it would be another picture.
        (["size=128x128", f"{ENLARGES}={{stages: [2]}}"], [*UPSCALE, "-o", OUTPUT]),
        # Twice as large, it would be a run that nobody may ask for.
        (["size=16384x8192"], [*UPSCALE, "-o", OUTPUT]),
        (["models={a: tinyworld/scenes, b: tinyworld/scenes}", f"{ENLARGES}={{stages: [2]}}"], None),
    ],
    ids=["plain", "enlarges", "one-step", "stages", "too-large", "several-models"],
)
def test_the_command_of_a_recipe(sets: list[str], expected: list[str] | None) -> None:
    text = PANORAMA.replace("model: tinyworld/scenes\n", "") if "models=" in str(sets) else PANORAMA
    (recipe,) = parse_recipe(text, "recipe", sets).recipes
    assert larger(recipe) == expected


def test_without_a_plugin_that_enlarges_pictures_are_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionkit.comparison.larger.offered", dict)
    (recipe,) = parse_recipe(PANORAMA, "recipe").recipes
    assert larger(recipe) == [*UPSCALE, "-o", OUTPUT]
    monkeypatch.setattr("fusionkit.comparison.larger.entries_of", lambda group: [])
    assert larger(recipe) is None
