"""The keyword arguments that stand for a recipe's fields are a recipe's fields, for people and for programs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from pydantic import ValidationError

from fusionkit import Fusion, Plugin, Recipe, RecipeError
from fusionkit.recipe.fields import ADAPTER, WEIGHTS, CallFields, ModelFields, PictureFields, PipeFields, RecipeFields
from fusionkit.recipe.recipe import Cache, Lora, ModelSpec, PresetChoice, SchedulerSpec

NAMES = {each.__name__: each for each in (Cache, Lora, ModelSpec, PresetChoice, SchedulerSpec, Plugin, Path)} | {
    "Mapping": Mapping,
    "Sequence": Sequence,
}
HINTS: dict[str, Any] = get_type_hints(RecipeFields, localns=NAMES)


def test_every_field_of_a_recipe_is_a_keyword() -> None:
    assert set(HINTS) == set(Recipe.model_fields)


def test_what_is_decided_by_loading_is_no_keyword_of_a_call_or_of_a_pipeline() -> None:
    every = set(HINTS)
    assert set(CallFields.__annotations__) == every - {*WEIGHTS, *ADAPTER, "prompt"}
    assert set(PipeFields.__annotations__) == every - {*WEIGHTS, "plugins"}
    assert set(ModelFields.__annotations__) == every - {"model", "models", "plugins"}
    assert set(PictureFields.__annotations__) == set(CallFields.__annotations__) - {"plugins"}


@pytest.mark.parametrize("name", HINTS)
def test_a_keyword_may_be_what_the_field_may_be(name: str) -> None:
    hint = HINTS[name]
    annotation = Recipe.model_fields[name].annotation
    if get_origin(annotation) is Literal:
        assert set(get_args(hint)) == set(get_args(annotation))
    try:
        Recipe.model_validate({name: None})
        may_be_none = True
    except ValidationError:
        may_be_none = False
    assert (NoneType in get_args(hint)) == may_be_none


@pytest.mark.parametrize(
    ("function", "fields", "own"),
    [
        (Fusion.from_pretrained, ModelFields, ["model", "plugins"]),
        (Fusion.from_pipe, PipeFields, ["pipe", "plugins"]),
        (Fusion.from_pipes, PipeFields, ["pipes", "plugins"]),
        (Fusion.from_recipe, RecipeFields, ["recipe"]),
        (Fusion.from_pretrained("tinyworld/scenes"), CallFields, ["prompt", "callback", "progress", "preview", "maps"]),
    ],
    ids=["from_pretrained", "from_pipe", "from_pipes", "from_recipe", "call"],
)
def test_help_shows_the_keywords_one_by_one(function: Any, fields: Any, own: list[str]) -> None:
    parameters = inspect.signature(function).parameters
    more = [name for name in parameters if name not in fields.__annotations__]
    assert list(parameters) == [*more, *fields.__annotations__]
    assert more[: len(own)] == own
    assert str(parameters["steps"]) == "steps: 'int' = ..."
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in list(parameters.values())[len(more) :])


def test_an_unknown_keyword_is_refused_with_what_is_near() -> None:
    fusion = Fusion.from_pretrained("tinyworld/scenes")
    wrong: dict[str, Any] = {"sise": (192, 64)}
    calls = (
        lambda: Fusion.from_pretrained("tinyworld/scenes", **wrong),
        lambda: Fusion.from_pipes({"model": None}, **wrong),
        lambda: Fusion.from_recipe("panorama-tinyworld", **wrong),
        lambda: fusion("a hill", **wrong),
    )
    for call in calls:
        with pytest.raises(RecipeError) as error:
            call()
        assert str(error.value) == "a recipe has no option 'sise'; did you mean 'size'?"
