"""Recipes while they are edited: opened, and what is wrong told at the control that has it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fusionkit.errors import RecipeError
from fusionkit.pictures.image import save_image
from fusionkit.recipe.assemble import bundled_recipes
from fusionkit.recipe.recipe_file import load_recipes
from fusionkit.studio.drafts import Draft, in_order, new_seeds, opened, typed
from fusionkit.studio.looking import checked, planned

TINY: dict[str, Any] = {
    "model": "tinyworld/scenes",
    "prompt": "a photo of the sea at noon",
    "size": "128x64",
    "steps": 2,
}


def told(**changes: Any) -> list[tuple[tuple[str | int, ...], str]]:
    problems, _ = checked(Draft({**TINY, **changes}))
    return [(tuple(each.at), each.line) for each in problems]


@pytest.mark.parametrize("name", sorted(bundled_recipes()))
def test_a_bundled_recipe_is_what_it_was(name: str, here: Path) -> None:
    draft = opened(name)
    assert not draft.careful
    (before, *_), (after, *_) = load_recipes(name), draft.read().recipes
    assert after.dump() == before.dump()
    assert typed(draft.yaml()).plain() == draft.plain()


def test_each_mistake_is_told_where_it_is(here: Path) -> None:
    plugins = ["guided-fusion", {"style-alignment": {"alpha": 3}}, {"multidiffusion": {"strid": 1}}, "gided-fusion"]
    assert told(steps=0, sise=1, plugins=plugins) == [
        (("steps",), "'steps' must be at least 1, not 0"),
        (("sise",), "a recipe has no option 'sise'; did you mean 'size'?"),
        (("plugins", 1, "style-alignment", "alpha"), "'alpha' of style-alignment must be at most 1, not 3"),
        (("plugins", 2, "multidiffusion", "strid"), "multidiffusion has no option 'strid'; did you mean 'stride'?"),
        (("plugins", 3), "no plugin 'gided-fusion'; did you mean 'guided-fusion'?"),
    ]
    boxes = {"sun": {"prompt": "a sun", "box": [100, 0, 64, 64]}}
    ((at, line),) = told(plugins=[{"regions": {"boxes": boxes}}])
    assert at == ("plugins", 0, "regions", "boxes", "sun")
    assert "reaches beyond the picture of 128x64" in line
    ((at, line),) = told(size="130x64")
    assert (at, line.partition(",")[0]) == (("size",), "size 130x64 is not divisible by 4")
    ((at, line),) = told(model="tinyworld/scene")
    assert (at, "tinyworld/scenes" in line) == (("model",), True)


def test_texts_that_are_typed_are_yaml(here: Path) -> None:
    stride = {"$yaml": "32"}
    assert told(plugins=[{"multidiffusion": {"stride": stride}}]) == []
    assert Draft({**TINY, "scheduler": {"$yaml": "ddim: {eta: 1}"}}).plain()["scheduler"] == {"ddim": {"eta": 1}}
    ((at, line),) = told(scheduler={"$yaml": "{ddim"})
    assert (at, "not YAML" in line) == (("scheduler",), True)


def test_a_plan_is_that_of_the_command(here: Path) -> None:
    problems, plan = planned(Draft({**TINY, "plugins": [{"multidiffusion": {"stride": 32}}]}))
    assert problems == []
    assert plan["size"] == [128, 64]
    assert plan["stages"] == [{"size": [128, 64], "steps": 2, "views": 6}]
    assert (plan["steps"], plan["views"], plan["forward-passes"]) == (2, 6, 12)
    assert plan["used"]["guidance-scale"] == 4
    assert plan["memory"] > 1e6
    problems, plan = planned(Draft({**TINY, "steps": 0}))
    assert ([tuple(each.at) for each in problems], plan) == ([("steps",)], {})


def test_a_picture_carries_its_recipe_and_is_met_with_care(here: Path) -> None:
    text = Draft({**TINY, "model": "somebody/huge", "output": "/etc/x.png", "seed": 7}).yaml()
    save_image(Image.new("RGB", (8, 8)), here / "liked-7.png", {"recipe": text, "seed": 7})
    draft = opened("liked-7.png")
    assert draft.careful
    assert draft.recipe == {**TINY, "model": "somebody/huge", "seed": 7, "name": "liked"}
    ((problem,), _) = checked(draft)
    assert "what a picture names is not downloaded; tick 'Fetch what it names' in the studio" in problem.line
    (here / "mine.yaml").write_text("extends: liked-7.png\nsteps: 3\n")
    assert (opened("mine.yaml").careful, opened("mine.yaml").recipe["steps"]) == (True, 3)
    assert typed("extends: liked-7.png").careful


def test_what_is_no_recipe_is_told_with_its_line(here: Path) -> None:
    with pytest.raises(RecipeError, match=r"^line:2:1: 'steps' is given twice"):
        typed("steps: 1\nsteps: 2\n")
    with pytest.raises(RecipeError, match=r"^line:1:1: a recipe is a mapping"):
        typed("- a\n")


def test_seeds_and_order() -> None:
    there = [{"seed": 5, "steps": 2}, {"seed": 6, "steps": 3}, {"steps": 2}]
    assert [each["seed"] for each in islice(new_seeds({"seed": 4, "steps": 2}, there), 3)] == [4, 6, 7]
    assert next(new_seeds({"steps": 2}, there)) == {"steps": 2, "seed": 1}
    assert list(in_order({"plugins": [], "size": 1, "model": 2}, ["model", "size"])) == ["model", "size", "plugins"]
