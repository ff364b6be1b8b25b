"""The command that draws a picture of a comparison again, larger, and the same."""

from __future__ import annotations

from contextlib import suppress

from fusionkit.errors import FusionError
from fusionkit.foreign import entries_of
from fusionkit.plugin import Plugin
from fusionkit.recipe.recipe import Recipe
from fusionkit.recipe.recipe_file import parse_recipe
from fusionkit.registry import load, offered
from fusionkit.runs.checks import check_file

PICTURE, PROMPT, OUTPUT = "{picture}", "{prompt}", "{output}"
"""Words of a command that stand for the picture's path, for its prompt, and for where the larger one goes."""
TIMES = 2
STRENGTHS = (0.6, 1)
"""How much is drawn anew, where the recipe does not enlarge yet: docs/from-a-picture.md has figures of the first, which
leaves nothing of a single step."""
_COMMAND = "upscale"
_OWN = ("output", "overwrite", "preview-every")


def larger(recipe: Recipe) -> list[str] | None:
    """The words of a command that makes a setting's pictures twice as wide and high; None where there is none.

    A recipe whose plugins can go on with its whole picture draws it again and goes on. Any other picture is enlarged as
    a photo is.

    Args:
        recipe: What drew one of the pictures.
    """
    return _goes_on(recipe) or _as_a_photo(recipe)


def _goes_on(recipe: Recipe) -> list[str] | None:
    found = _enlarger()
    if found is None:
        return None
    own = next((each for each in recipe.plugins if isinstance(each, found[1])), None)
    if own is None:
        changes = [f"plugins.{found[0]}={{times: {TIMES}, strength: {strength}}}" for strength in STRENGTHS]
    elif times := getattr(own, "times", None):
        changes = [f"plugins.{found[0]}.times={TIMES * times:g}"]
    else:
        # It makes the recipe's own size in stages: with `times` that size would be drawn at once, as another picture.
        return None
    for change in changes:
        with suppress(FusionError):
            check_file(parse_recipe(recipe.to_yaml(), "recipe", [change], without=_OWN))
            return ["fusionkit", "run", PICTURE, "--set", change, "-o", OUTPUT]
    return None


def _enlarger() -> tuple[str, type[Plugin]] | None:
    """The plugin that enlarges what a recipe draws, by its options."""
    for name in offered():
        with suppress(FusionError):
            kind = load(name)
            if {"times", "strength"} <= set(kind.model_fields):
                return name, kind
    return None


def _as_a_photo(recipe: Recipe) -> list[str] | None:
    if not any(entry.name == _COMMAND for entry in entries_of("fusionkit.commands")):
        return None
    spec, *others = recipe.specs.values()
    if others or spec.base or spec.loras or spec.revision or spec.variant:
        return None
    told = ["--model", spec.model, "--prompt", PROMPT]
    return ["fusionkit", _COMMAND, PICTURE, "--scale", str(TIMES), *told, "-o", OUTPUT]
