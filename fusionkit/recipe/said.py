"""All prompts of a recipe: its own, and those in the options of its plugins, with where each stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from fusionkit.recipe.values import IS_PROMPT

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Recipe


def prompts_of(recipes: Sequence[Recipe]) -> list[tuple[str, str]]:
    """Each prompt that a model may hear, once, and what errors call it: `'prompt'`, `'boxes.sky.prompt' of regions`.

    Of plugins that is every option, or part of one, whose type is `PromptText`, within lists and mappings too.

    Args:
        recipes: A file's recipes, which differ in their prompts alone.
    """
    first = recipes[0]
    found = [("'prompt'", recipe.prompt) for recipe in recipes] + [("'negative-prompt'", first.negative_prompt)]
    for plugin in first.plugins:
        found += [(f"'{at}' of {plugin.plugin_name}", text) for at, text in _in_part(plugin, "")]
    return list(dict.fromkeys(each for each in found if each[1].strip()))


def _in_part(part: BaseModel, at: str) -> Iterator[tuple[str, str]]:
    for name, field in type(part).model_fields.items():
        value, here = getattr(part, name), f"{at}{field.alias or name}"
        # What marks a whole field, pydantic has taken off its type.
        if IS_PROMPT in field.metadata and isinstance(value, str):
            yield here, value
        else:
            yield from _within(field.annotation, value, here)


def _within(kind: Any, value: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if _is_prompt(kind):
            yield at, value
    elif isinstance(value, BaseModel):
        yield from _in_part(value, f"{at}.")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _within(kind, each, f"{at}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value, 1):
            yield from _within(kind, each, f"{at}.{number}")


def _is_prompt(kind: Any) -> bool:
    """Whether a type is `PromptText`, or made of it."""
    if get_origin(kind) is Annotated and IS_PROMPT in get_args(kind)[1:]:
        return True
    return any(_is_prompt(each) for each in get_args(kind) if get_args(each))
