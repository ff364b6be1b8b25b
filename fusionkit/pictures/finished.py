"""Whether a file is the whole picture that a recipe draws, so that it need not be drawn again."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import FusionError
from fusionkit.pictures import deep_zoom
from fusionkit.pictures.inputs import fingerprints
from fusionkit.pictures.metadata import read_metadata
from fusionkit.pictures.names import numbered
from fusionkit.pictures.opening import PictureError, opened
from fusionkit.pictures.picture import open_picture
from fusionkit.pictures.tiff import tiles_are_whole

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Recipe

OF_THE_MACHINE = ("device", "devices", "batch-size", "offload", "canvas", "compile", "channels-last", "name")
"""Where and how fast a picture is computed; the picture is the same."""

_LONGEST_RECIPE = 100_000
_MOST_NAMED = 3


def fingerprint_of(recipe: Recipe) -> str:
    """What decides a recipe's picture, in short."""
    return hashlib.sha256(repr(sorted(_deciding(recipe).items())).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _deciding(recipe: Recipe) -> dict[str, Any]:
    return {name: value for name, value in recipe.dump().items() if name not in OF_THE_MACHINE}


def check_whole(path: Path, *, ours: bool = False) -> tuple[int, int]:
    """Decode a picture, look at a PNG's checksums, and return its (width, height) in pixels.

    Pillow decodes some files that break off or are zeros from some place on, as a power cut leaves them.

    Args:
        path: The file.
        ours: Whether we wrote it: then a JPEG ends with its own end, behind which others put what they like.

    Raises:
        PictureError: It can't be read, or is not whole.
    """
    from fusionkit.pictures.pillow import breaks_off

    if path.suffix.lower() == deep_zoom.SUFFIX:
        check_whole(deep_zoom.copy_of(path), ours=ours)
        told = deep_zoom.size_of(path)
        if detail := "its size can't be read" if told is None else deep_zoom.missing(path, told):
            raise PictureError(path, f"can't be read: {detail}", detail)
        assert told is not None
        return told
    with opened(path) as image:
        kind, size = image.format or "", image.size
    if kind == "TIFF" and ours:
        # It may be larger than the memory.
        if detail := tiles_are_whole(path):
            raise PictureError(path, f"can't be read: {detail}", detail)
        return size
    size = open_picture(path).size
    with opened(path) as image:
        if kind == "PNG" or ours:
            with path.open("rb") as file:
                if breaks_off(file, kind):
                    detail = "it is cut off, or was changed on the disk"
                    raise PictureError(path, f"can't be read: {detail}", detail)
    return size


def damage(path: Path) -> str:
    """What is wrong with the file of a picture of ours, as a sentence goes on after its name; empty if it is whole."""
    try:
        check_whole(path, ours=True)
        return ""
    except PictureError as error:
        return f"is damaged: {error.detail}" if error.detail else error.says


def why_not(path: Path, recipe: Recipe) -> str:
    """Why a file is not the whole picture of a recipe, as a sentence goes on after its name; empty where it is.

    Args:
        path: The file.
        recipe: The recipe, completed with its model's defaults.
    """
    try:
        told = read_metadata(path)
    except (FusionError, RecursionError):
        return damage(path) or "carries no recipe"
    if problem := _another_recipe(told, recipe, path) or _other_files(told, recipe):
        return problem
    return damage(path)


def drawn_already(path: Path, recipe: Recipe, taken: Collection[Path], gaps: int) -> tuple[Path | None, str]:
    """The whole picture of a recipe, under its name or one with a number; and else why the file of that name is none.

    Args:
        path: The picture's name.
        recipe: The recipe, completed with its model's defaults.
        taken: Files that are other recipes' pictures already.
        gaps: How many numbers may be missing: of several pictures of one name, any may be gone.
    """
    first = ""
    for each in numbered(path):
        if not each.exists():
            if not gaps:
                break
            gaps -= 1
        elif each not in taken:
            if not (reason := why_not(each, recipe)):
                return each, ""
            first = reason if each == path else first
    return None, first


def _another_recipe(told: Mapping[str, Any], recipe: Recipe, path: Path) -> str:
    from fusionkit.recipe.recipe_file import parse_recipe
    from fusionkit.trust import named_by_a_picture

    if len(text := told["recipe"]) > _LONGEST_RECIPE:
        return "is the picture of another recipe"
    try:
        with named_by_a_picture(paths="", downloads=""):
            (held,) = parse_recipe(text, str(path)).recipes
    except (FusionError, ValueError, RecursionError):
        return "is the picture of another recipe"
    wanted, found = _deciding(recipe), _deciding(held)
    differ = [key for key in {**wanted, **found} if wanted.get(key) != found.get(key)]
    # Where memory ran out, the same was decoded in tiles.
    if not differ or (differ == ["vae-tiling"] and held.vae_tiling):
        return ""
    more = f", and {len(differ) - _MOST_NAMED} more" if len(differ) > _MOST_NAMED else ""
    return f"is the picture of another recipe ({', '.join(differ[:_MOST_NAMED])}{more})"


def _other_files(told: Mapping[str, Any], recipe: Recipe) -> str:
    then, now = told.get("files", {}), fingerprints(recipe)
    changed = [repr(text) for text in now if then.get(text, now[text]) != now[text]]
    return f"was drawn with another {', '.join(changed)}" if changed else ""
