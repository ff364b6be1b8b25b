"""Many pictures of one recipe: its seeds and prompts, their numbers on a contact sheet, and those that are picked."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Recipe
    from fusionkit.recipe.recipe_file import RecipeFile

F = TypeVar("F", bound=Callable[..., Any])

_INDEX = re.compile(r"\{index(?:![rsa])?(?::([^{}]*))?\}")


def many_options(command: F) -> F:
    """The options of a command that draws many pictures of a recipe."""
    for decorate in (
        click.option(
            "--pick",
            metavar="NUMBERS",
            help="Of all these pictures, draw those of these numbers on the sheet: 5, or 2,5-7.",
        ),
        click.option("--prompts", metavar="FILE", help="Its prompts, one a line, in place of the recipe's."),
        click.option("--seeds", metavar="SEEDS", help="A picture for each of these seeds: 0-8, or 1,5,9."),
    ):
        command = decorate(command)
    return command


def prompts_in(path: str | None) -> list[str] | None:
    """The prompts of a file; None without one.

    Raises:
        RecipeError: It can't be read, or has none.
    """
    from fusionkit.comparison.spec import read_prompts

    return None if path is None else read_prompts(Path(path))


def spread(file: RecipeFile, seeds: str | None, pick: str | None) -> RecipeFile:
    """A file's recipes, each with each of the seeds, named apart; of these, those that are picked.

    Raises:
        RecipeError: The seeds or the numbers make no sense.
    """
    from fusionkit.errors import RecipeError
    from fusionkit.recipe import limits

    numbers: list[int | None] = [None] if seeds is None else [*_numbers("--seeds", seeds)]
    if (count := len(file.recipes) * len(numbers)) > limits.PICTURES:
        raise RecipeError([f"--seeds: that makes {count:,} pictures; the most are {limits.PICTURES:,}"])
    recipes = [
        each if seed is None else each.model_copy(update={"seed": seed}) for each in file.recipes for seed in numbers
    ]
    if seeds is not None or pick is not None:
        recipes = [_numbered(each, number) for number, each in enumerate(_named_apart(recipes), 1)]
    if pick is not None:
        recipes = [recipes[number - 1] for number in _picked(pick, len(recipes))]
        if len(recipes) == 1 and not _varies(output := file.recipes[0].output):
            # One picture alone has the name that it was given.
            recipes = [_with_output(recipes[0], output)]
    return replace(file, recipes=recipes)


def sheet_of(pictures: Sequence[tuple[Path, Recipe]], columns: int | None, output: Path) -> Path:
    """Write the contact sheet of pictures beside them, and return where it is.

    Args:
        pictures: Their files, and the recipes that drew them, in the order of their numbers.
        columns: How many stand side by side; None chooses.
        output: Where they go, as it was asked for; the sheet is named after it, or else after the recipe.
    """
    from fusionkit.pictures.deep_zoom import copy_of
    from fusionkit.pictures.image import output_path, save_image
    from fusionkit.pictures.inputs import is_read
    from fusionkit.pictures.picture import open_picture
    from fusionkit.pictures.sheet import contact_sheet

    several = len({recipe.prompt for _, recipe in pictures}) > 1
    lines = [
        f"{number}   seed {recipe.seed}{f'   {recipe.prompt}' if several else ''}"
        for number, (_, recipe) in enumerate(pictures, 1)
    ]
    images = [open_picture(copy_of(path)) for path, _ in pictures]
    path, recipe = pictures[0]
    stem = "{recipe}" if _varies(output) else output.stem
    named = output_path(_with_output(recipe, Path(f"{stem}-sheet.png")))
    sheet = contact_sheet(list(zip(images, lines, strict=True)), columns)
    to = path.with_name(named.name)
    return save_image(sheet, to, {}, overwrite=recipe.overwrite and not is_read(recipe, to))


def _numbers(option: str, text: str) -> list[int]:
    from fusionkit.comparison.ranges import parse_seeds
    from fusionkit.errors import RecipeError

    try:
        return parse_seeds(text)
    except ValueError as error:
        raise RecipeError([f"{option} {error}"]) from None


def _picked(pick: str, count: int) -> list[int]:
    from fusionkit.errors import RecipeError

    numbers = _numbers("--pick", pick)
    if wrong := [number for number in numbers if not 1 <= number <= count]:
        raise RecipeError([f"--pick {wrong[0]}: there are pictures 1 to {count}, by prompts, seeds of each in turn"])
    return numbers


def _named_apart(recipes: Sequence[Recipe]) -> Sequence[Recipe]:
    """The recipes, whose outputs tell them apart: by their seeds, or else by their numbers."""
    from fusionkit.pictures.image import output_path

    def alike(each: Sequence[Recipe]) -> bool:
        return len({output_path(recipe, number) for number, recipe in enumerate(each, 1)}) < len(each)

    for part in ("-{seed}", "-{index}"):
        if alike(recipes) and part[1:-1] not in str(recipes[0].output):
            recipes = [_with_output(each, each.output.with_stem(each.output.stem + part)) for each in recipes]
    return recipes


def _numbered(recipe: Recipe, number: int) -> Recipe:
    """The recipe whose output has its number filled in: of a few that are picked, it stays."""
    text = _INDEX.sub(lambda found: format(number, found[1] or ""), str(recipe.output))
    return _with_output(recipe, Path(text))


def _varies(output: Path) -> bool:
    """Whether an output's name says something of the picture, such as its seed."""
    return "{" in str(output)


def _with_output(recipe: Recipe, output: Path) -> Recipe:
    return recipe.model_copy(update={"output": output})
