"""A picture in place of a recipe: where the new picture goes, what is told of the old one, and what is asked of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionkit.models.memory import LARGEST_BATCH

if TYPE_CHECKING:
    from fusionkit.pictures.carried import Carrier
    from fusionkit.recipe.recipe_file import RecipeFile


def destination(image: Path, output: str | None) -> str:
    """Where the new picture goes, as a template: by default to the old one, which it never replaces by itself.

    Raises:
        RecipeError: It would lie in a comparison's folder.
    """
    if output is not None and (output.endswith(("/", os.sep)) or os.path.isdir(output)):
        output = os.path.join(output, escaped(Path(image.name)))
    _check_outside(image if output is None else Path(output))
    return escaped(image) if output is None else output


def _check_outside(to: Path) -> None:
    from fusionkit.comparison.folder import MANIFEST
    from fusionkit.errors import RecipeError

    # Its pictures lie two folders deep at most.
    if any((each / MANIFEST).is_file() for each in list(to.absolute().parents)[:3]):
        raise RecipeError(
            [f"{to}: lies in a comparison's folder, which holds what 'compare' drew; give another place: -o PATH"]
        )


def beside(image: Path) -> str:
    """Where a run from a picture writes, as a template: beside it, with the new seed where its name ends in the old.

    Raises:
        RecipeError: It is no picture, or carries no recipe.
    """
    from fusionkit.pictures.metadata import read_metadata

    seed = f"-{read_metadata(image).get('seed')}"
    if not image.stem.endswith(seed):
        return escaped(image)
    return escaped(image.with_name(image.stem.removesuffix(seed))) + "-{seed}" + image.suffix


def escaped(path: Path) -> str:
    """A path as a template that stands for itself."""
    return str(path).replace("{", "{{").replace("}", "}}")


def check_kept(file: RecipeFile, carriers: Sequence[Carrier]) -> None:
    """Refuse a run that would replace a picture which its recipe comes from, or write where 'compare' has drawn it.

    Raises:
        RecipeError: It would.
    """
    from fusionkit.errors import RecipeError
    from fusionkit.pictures.image import output_path

    for number, recipe in enumerate(file.recipes, 1):
        path = output_path(recipe, number)
        if carriers:
            _check_outside(path)
        for each in carriers if recipe.overwrite and path.exists() else ():
            if path.samefile(each.path):
                line = f"output '{path}' is the picture that the recipe comes from, which is not replaced"
                raise RecipeError([file.located(f"{line}; give another place: -o PATH")])


def check_preview(preview: Path | None, file: RecipeFile, carriers: Sequence[Carrier]) -> None:
    """Refuse a live preview whose file can't be written, or must not be.

    Raises:
        RecipeError: It can't, or must not; all reasons.
    """
    if preview is None:
        return
    from fusionkit.errors import RecipeError
    from fusionkit.pictures.image import output_path
    from fusionkit.runs.live import file_problems

    problems = list(file_problems(preview, file.recipes[0], file.recipes[0].overwrite))
    paths = [output_path(recipe, number) for number, recipe in enumerate(file.recipes, 1)]
    if any(preview.absolute() == each.absolute() for each in paths):
        problems = [f"'{preview}' is where the picture goes; give another name"]
    if preview.exists() and any(preview.samefile(each.path) for each in carriers):
        problems = [f"'{preview}' is the picture that the recipe comes from; give another name"]
    if problems:
        raise RecipeError(f"--preview: {line}" for line in problems)


def tell_of(
    carriers: Sequence[Carrier], file: RecipeFile, opened: Sequence[str], *, quiet: bool = False, changes: bool = True
) -> None:
    """Say on standard error what is not as it was when a picture was drawn, and what its recipe opens.

    Args:
        carriers: The pictures that a recipe comes from.
        file: The recipe.
        opened: What was looked for, was there, and may be opened.
        quiet: Say only what is not as it was.
        changes: Say, too, what the recipe says differently.
    """
    from fusionkit.foreign import printable
    from fusionkit.models.identity import misfits

    notes: list[str] = []
    for each in carriers:
        notes += [*each.inputs.notes(), *misfits(each.told.get("models", {}), file.recipes[0]).values()]
        if not quiet and changes and (changed := each.differences(file)):
            notes.append(f"not as in {each.path}: {', '.join(changed)}")
    for note in dict.fromkeys(notes):
        click.echo(printable(f"note: {note}"), err=True)
    if not quiet and opened:
        click.echo(printable(f"the recipe inside names, and this opens: {', '.join(opened)}"), err=True)


def batch_size(told: Mapping[str, Any]) -> int | None:
    """How many views went through the denoiser together, since that decides the last bits; None if it does not say.

    It counts where the recipe does not say. What a file can ask for is limited by what is chosen by itself.
    """
    size = told.get("batch-size")
    return size if type(size) is int and 1 <= size <= LARGEST_BATCH else None


def batches(told: Mapping[str, Any]) -> dict[str, dict[tuple[int, int], int]]:
    """The same for each model by name, and each (height, width) in latent pixels of its views.

    What makes no sense is left out.
    """
    by_model = told.get("batch-sizes")
    found: dict[str, dict[tuple[int, int], int]] = {}
    for name, sizes in by_model.items() if isinstance(by_model, dict) else ():
        for view, size in sizes.items() if isinstance(sizes, dict) else ():
            sides = re.fullmatch(r"(\d{1,6})x(\d{1,6})", view)
            if sides and type(size) is int and 1 <= size <= LARGEST_BATCH:
                found.setdefault(name, {})[int(sides[1]), int(sides[2])] = size
    return found


def as_batched(carriers: Sequence[Carrier], file: RecipeFile) -> tuple[int | None, Mapping[str, Any]]:
    """As many views together as a picture was drawn with, where its own recipe is run: one, and those by model."""
    from fusionkit.recipe.assemble import shown_path

    told = next((each.told for each in carriers if shown_path(each.path) == file.source), None)
    if told is None:
        return None, {}
    return (None, found) if (found := batches(told)) else (batch_size(told), {})
