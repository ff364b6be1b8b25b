"""Which photos are enlarged, what each is said to show, and where the new pictures go."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionkit.errors import RecipeError
from fusionkit.pictures.metadata import read_metadata
from fusionkit.recipe.document import read_text
from fusionkit.recipe.texts import PICTURES

SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".avif"}
"""What a photo's name ends in, where a folder is looked through; any file may be named by itself."""


@dataclass(frozen=True)
class Photo:
    """A photo and what becomes of it.

    Args:
        path: Its file.
        output: Where the new picture goes.
        prompt: What the text beside it says that it shows; None without one.
    """

    path: Path
    output: Path
    prompt: str | None = None


def photos_in(sources: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The photos that were named, and those of folders by name, each once; and what is left out as enlarged already.

    Args:
        sources: Files and folders.

    Raises:
        RecipeError: Something is not there, or a folder has none.
    """
    found, enlarged, problems = list[Path](), list[Path](), []
    for source in sources:
        if source.is_dir():
            inside = sorted(each for each in source.iterdir() if _is_photo(each))
            old = [each for each in inside if _is_enlarged(each)]
            new = [each for each in inside if each not in old]
            if not new:
                also = f" but {len(old)} that fusionkit enlarged" if old else ""
                problems.append(f"folder '{source}' has no photos{also}; they end in {', '.join(sorted(SUFFIXES))}")
            found += new
            enlarged += old
        else:
            found.append(source)
    if problems:
        raise RecipeError(problems)
    # One file in one folder is one photo, by whatever way its folder is named.
    once: dict[tuple[str, str], Path] = {}
    for path in found:
        once.setdefault((os.path.realpath(path.parent), path.name), path)
    return list(once.values()), enlarged


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _is_enlarged(path: Path) -> bool:
    """Whether fusionkit has enlarged it: by the recipe inside."""
    if path.suffix.lower() not in PICTURES:
        return False
    try:
        recipe = read_metadata(path)["recipe"]
    except RecipeError:
        return False
    return "exact-size" in recipe and "image-to-image" in recipe


def placed(photos: Sequence[Path], addition: str, to: Path | None, suffix: str | None) -> list[Photo]:
    """Photos with their texts, and where their pictures go.

    Args:
        photos: Their files.
        addition: What follows the name, such as "-2x".
        to: A folder, or of one photo a file; None is beside each.
        suffix: What the names end in; None is .png, or what the file's does.

    Raises:
        RecipeError: Two would be written to one file, or a text can't be read.
    """
    file = to is not None and to.suffix.lower() in PICTURES and not to.is_dir()
    if file and len(photos) > 1:
        raise RecipeError([f"-o {to}: is one picture, and there are {len(photos)} photos; give a folder"])
    placed: list[Photo] = []
    for path in photos:
        folder = path.parent if to is None else to
        output = to if file and to is not None else folder / f"{path.stem}{addition}{suffix or '.png'}"
        placed.append(Photo(path, output, prompt_beside(path)))
    if problems := list(_alike(placed)):
        raise RecipeError(problems)
    return placed


def prompt_beside(photo: Path) -> str | None:
    """What the text beside a photo says, in one line: that of `x.jpg` is `x.txt`; None without one.

    Raises:
        RecipeError: It is no text.
    """
    path = photo.with_suffix(".txt")
    return " ".join(read_text(path, str(path)).split()) if path.is_file() else None


def _file(path: Path) -> tuple[int, int] | None:
    """What tells a file from others, by whatever name it is called; None where there is none."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    return stat.st_dev, stat.st_ino


def _alike(photos: Sequence[Photo]) -> Iterator[str]:
    first: dict[str, Path] = {}
    originals = {file for photo in photos if (file := _file(photo.path))}
    for photo in photos:
        output = os.path.realpath(photo.output)
        if _file(photo.output) in originals:
            yield f"'{photo.path}' would be written to the photo '{photo.output}'; give another place: -o FOLDER"
        elif (other := first.setdefault(output, photo.path)) != photo.path:
            yield f"'{other}' and '{photo.path}' would both be written to '{photo.output}'; rename one of them"
