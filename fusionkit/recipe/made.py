"""Recipes that are made and changed in Python, with errors as those of a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from fusionkit.errors import RecipeError
from fusionkit.plugin import kebab
from fusionkit.recipe.assemble import ONE_OF
from fusionkit.recipe.presets import outranked
from fusionkit.recipe.problems import problems_of
from fusionkit.recipe.recipe import Recipe


def make_recipe(**fields: Any) -> Recipe:
    """A recipe from fields by their Python names, with errors as a recipe file's are: one line each, all at once.

    Raises:
        RecipeError: A field is unknown or has a wrong value.
    """
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        raise RecipeError(problems_of(error, Recipe, python=True)) from None


def changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with some fields changed, validated again.

    Raises:
        RecipeError: A field is unknown or has a wrong value.
    """
    if not changes:
        return recipe
    given = {name: getattr(recipe, name) for name in recipe.model_fields_set}
    for name in changes:
        given.pop(ONE_OF.get(name, ""), None)
    if isinstance(preset := changes.get("preset"), str):
        plugins = [(each.plugin_name, map(kebab, each.model_fields_set)) for each in recipe.plugins]
        keys = outranked(map(kebab, given), plugins, map(kebab, changes))
        changes = {**changes, "preset": {"name": preset, "over": keys}}
    return make_recipe(**{**given, **changes})
