"""Reads a folder of pictures: which files count, what they say of how they were made, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.errors import FusionError, RecipeError
from fusionkit.evaluation.layout import ADVICE, window_of
from fusionkit.evaluation.needs import listed
from fusionkit.evaluation.picture import Picture, upright_size
from fusionkit.foreign import told
from fusionkit.pictures.opening import PictureError
from fusionkit.pictures.picture import has_more
from fusionkit.trust import named_by_a_picture

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Recipe

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
OTHERS = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".ppm", ".tga", ".tif", ".tiff")
"""Pictures of formats that are not read."""
LONGEST = 100_000
"""Letters of the longest recipe inside a picture that is read; those that fusionkit writes have a few thousand."""


def read_pictures(
    folder: Path | str,
    *,
    crop: tuple[int, int] | None = None,
    stride: int | None = None,
    partner: Path | str | None = None,
    trust: bool = False,
) -> list[Picture]:
    """The pictures of a folder (PNG, JPEG, WebP), sorted by name; hidden files and other files are passed over.

    Sub-folders are not entered: they hold other sets. Every file is decoded once, so that a damaged one is found now.

    Args:
        folder: The folder.
        crop: (width, height) in pixels of the size that the model was trained at; None takes it from the pictures'
            recipes or their models.
        stride: Pixels from one view to the next; None takes the views from the pictures' recipes.
        partner: A folder in which each picture's partner has the same name.
        trust: Whether folders and files that the pictures' own recipes name are opened, such as their models. The hub
            is never asked for what a picture names; a model that is in its local cache will do.

    Raises:
        RecipeError: No such folder, no pictures in it, or unreadable ones; all problems.
    """
    folder, partner = Path(folder), None if partner is None else Path(partner)
    problems = [] if partner is None or partner.is_dir() else [no_folder(partner)]
    paths: list[Path] = []
    try:
        paths = files_in(folder)
    except RecipeError as error:
        problems = [*error.problems, *problems]
    sizes: dict[Path, tuple[int, int]] = {}
    # Pillow decodes without holding Python's lock.
    with ThreadPoolExecutor() as threads:
        for path, found in zip(paths, threads.map(_decoded_size, paths), strict=True):
            if isinstance(found, RecipeError):
                problems += found.problems
            else:
                sizes[path] = found
    if problems:
        raise RecipeError(problems)
    return [_picture(path, sizes[path], crop, stride, partner, trust) for path in paths]


def files_in(folder: Path) -> list[Path]:
    """The pictures of a folder by name, without hidden files and without what lies in sub-folders.

    What fusionkit wrote beside the pictures that it drew, such as their sheet, is none of them, unless all is such.

    Raises:
        RecipeError: There is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise RecipeError([no_folder(folder)])
    entries = _entries(folder)
    found = [each for each in entries if _is_picture(each)]
    if not found:
        within = next((each for each in entries if each.is_dir() and _holds_pictures(each)), None)
        hint = f"; there are some in '{within}'" if within is not None else ""
        others = "".join(f"; {line}" for line in passed_over(folder))
        raise RecipeError([f"folder '{folder}' holds no pictures ({', '.join(SUFFIXES)}){hint}{others}"])
    return [each for each in found if not _is_beside(each)] or found


def passed_over(folder: Path) -> list[str]:
    """What pictures in a folder do not count, and why, one line for each reason."""
    lines = []
    entries = [each for each in _entries(folder) if not each.name.startswith(".")]
    if found := [each for each in entries if each.suffix.lower() in OTHERS]:
        kinds = ", ".join(sorted({each.suffix.lower() for each in found}))
        lines.append(
            f"not read in '{folder}': {len(found):,} of other formats ({kinds}), '{found[0].name}' first; "
            f"what counts is {', '.join(SUFFIXES)}"
        )
    pictures = [each for each in entries if _is_picture(each)]
    beside = [each for each in pictures if _is_beside(each)]
    if 0 < len(beside) < len(pictures):
        lines.append(f"passed over in '{folder}': {listed(each.name for each in beside)}: a sheet, map or preview")
    return lines


def no_folder(path: Path) -> str:
    """Why a path is not a folder of pictures, in one line."""
    return f"'{path}' is a file, not a folder" if path.exists() else f"no such folder: '{path}'"


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise RecipeError([f"folder '{folder}' can't be read: {error.strerror or error}"]) from None


def _holds_pictures(folder: Path) -> bool:
    try:
        return any(map(_is_picture, folder.iterdir()))
    except OSError:
        return False


def _is_picture(path: Path) -> bool:
    """Whether a file is meant to be one: links that lead nowhere, and pipes, are refused by name, not passed over."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()


def _is_beside(path: Path) -> bool:
    """Whether fusionkit wrote it beside what it drew, without a recipe: a sheet of many pictures, a map, a preview."""
    from fusionkit.pictures.metadata import text_in

    try:
        said = json.loads(text_in(path) or "null")
    except (PictureError, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and set(said) <= {"preview"}


def _decoded_size(path: Path) -> tuple[int, int] | RecipeError:
    try:
        return upright_size(path, decode=True)
    except RecipeError as error:
        return error


def _picture(
    path: Path,
    size: tuple[int, int],
    crop: tuple[int, int] | None,
    stride: int | None,
    partner: Path | None,
    trust: bool,
) -> Picture:
    mate = None if partner is None else partner / path.name
    mate = mate if mate is not None and mate.is_file() else None
    picture = Picture(path, size, crop=crop, stride=stride, partner=mate, trusted=trust)
    recipe, note = _recipe_of(path)
    if recipe is None:
        frames = "has several frames or pages; the first one counts" if has_more(path) else ""
        return replace(picture, note=note or frames)
    if crop is None:
        try:
            crop = window_of(recipe, trusted=trust)
        except FusionError as error:
            note = f"the size of its crops is not known: {'; '.join(str(error).splitlines())}"
        else:
            # A canvas smaller than the window is drawn in one view of its own size.
            crop = crop and (min(crop[0], size[0]), min(crop[1], size[1]))
    return replace(picture, prompt=recipe.prompt or None, seed=recipe.seed, recipe=recipe, crop=crop, note=note)


def _recipe_of(path: Path) -> tuple[Recipe | None, str]:
    """The recipe inside a picture; where it can't be read any more, why."""
    from fusionkit.pictures.image import read_metadata
    from fusionkit.recipe.recipe_file import parse_recipe

    foreign = "counts as a foreign picture, its recipe can't be read here"
    try:
        found = read_metadata(path)
    except RecipeError:
        return None, ""  # a picture of another program: nothing to tell
    except Exception as error:  # noqa: BLE001 - a file that was made to find a fault must not end the others
        return None, f"{foreign}: {told(error)}"
    try:
        if len(text := found["recipe"]) > LONGEST:
            return None, f"{foreign}: it has {len(text):,} letters; at most {LONGEST:,} are read"
        with named_by_a_picture(paths=ADVICE, downloads=""):
            recipes = parse_recipe(text, "recipe").recipes
    except FusionError as error:
        return None, f"{foreign}: {_first(str(error).splitlines())}"
    except Exception as error:  # noqa: BLE001 - likewise
        return None, f"{foreign}: {told(error)}"
    if len(recipes) > 1:
        return None, f"{foreign}: it has {len(recipes):,} prompts, and a picture has one"
    return recipes[0], ""


def _first(lines: Iterable[str]) -> str:
    first, *more = lines
    return f"{first} (and {len(more)} more)" if more else first
