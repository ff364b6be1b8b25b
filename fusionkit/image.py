"""Pictures as files: named by a template, never written over another one, and with what made them inside."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import FusionError, RecipeError
from fusionkit.files import existing, umask

if TYPE_CHECKING:
    from PIL.Image import Image

    from fusionkit.fusion import Result
    from fusionkit.plugin import Plugin
    from fusionkit.recipe import Recipe

KEY = "fusionkit"
_IMAGE_DESCRIPTION = 0x010E  # the EXIF tag that JPEG and WebP carry the text in
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_LARGEST_SIDE = {"JPEG": 65500, "WEBP": 16383}
# Beside the pixels: text, headers, and what is lost to the file system's blocks.
_MARGIN = 1 << 20


def output_path(recipe: Recipe, index: int = 1) -> Path:
    """Where a recipe's picture is to go, its template filled in.

    Args:
        recipe: The recipe.
        index: Which of the file's prompts it is, counted from 1.
    """
    width, height = recipe.size
    names = {
        "index": index,
        "model": _slug("+".join(Path(spec.model).name for spec in recipe.specs.values()) or "pipeline"),
        "prompt": _slug(recipe.prompt),
        "recipe": _slug(recipe.name),
        "seed": recipe.seed,
        "size": f"{width}x{height}",
    }
    return Path(str(recipe.output).format_map(names)).expanduser()


def free_path(path: Path) -> Path:
    """The path itself, or with the first number from 2 that makes it free: `a.png`, `a-2.png`, `a-3.png`."""
    return next(each for each in _numbered(path) if not each.exists())


def output_problems(paths: Iterable[Path], size: tuple[int, int]) -> list[str]:
    """Why pictures of a size, (width, height) in pixels, could not be written; one line for each reason."""
    problems: list[str] = []
    needed: dict[Path, int] = {}
    for path in paths:
        kind, side = _FORMATS.get(path.suffix.lower(), ""), max(size)
        if not kind:
            problems.append(_no_format(path))
        elif side > _LARGEST_SIDE.get(kind, side):
            problems.append(f"output '{path}': {kind} holds at most {_LARGEST_SIDE[kind]} pixels a side, not {side}")
        folder = existing(path.parent)
        needed[folder] = needed.get(folder, 0) + size[0] * size[1] * 3 + _MARGIN
    for folder, size_in_bytes in needed.items():
        if problem := _folder_problem(folder, size_in_bytes):
            problems.append(problem)
    return list(dict.fromkeys(problems))


def metadata_of(result: Result) -> dict[str, Any]:
    """What a picture's file says of how it was made: recipe, seed, versions and the latents' hash."""
    return {
        "recipe": result.recipe.to_yaml(),
        "model": ", ".join(spec.model for spec in result.recipe.specs.values()) or None,
        "seed": result.seed,
        "latents": result.latents_hash,
        "versions": versions(result.recipe.plugins),
    }


def versions(plugins: Iterable[Plugin] = ()) -> dict[str, str]:
    """The versions of what draws a picture, those of the plugins' packages among them."""
    from fusionkit.registry import offered, package_of

    packages = [KEY, "torch", "diffusers", "transformers"]
    packages += [package_of(offered()[each.plugin_name]) for each in plugins if each.plugin_name in offered()]
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def save_image(image: Image, path: Path, metadata: Mapping[str, Any], *, overwrite: bool = False) -> Path:
    """Write a picture, whole or not at all, with its metadata.

    Args:
        image: The picture.
        path: The file; its folder is made. PNG, JPEG or WebP by its name.
        metadata: As from `metadata_of`.
        overwrite: Replace an existing file; otherwise a number is added to the new one's name.

    Returns:
        Where the picture is.

    Raises:
        RecipeError: The file's name has no known format.
        FusionError: The file can't be written.
    """
    if path.suffix.lower() not in _FORMATS:
        raise RecipeError([_no_format(path)])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _claimed(path, overwrite) as (target, temporary):
            _write(image, temporary, _FORMATS[path.suffix.lower()], json.dumps(metadata, ensure_ascii=True))
        return target
    except OSError as error:
        raise FusionError(f"'{path}' can't be written: {error.strerror or error}") from error


def read_metadata(path: Path) -> dict[str, Any]:
    """What a picture that fusionkit wrote says of how it was made.

    Raises:
        RecipeError: It is no picture, or not one of fusionkit's.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            text = image.info.get(KEY) or image.getexif().get(_IMAGE_DESCRIPTION)
    except FileNotFoundError:
        raise RecipeError([f"{path}: no such file"]) from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise RecipeError([f"{path}: can't be read as a picture: {' '.join(str(error).split())}"]) from None
    try:
        found = json.loads(text or "")
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("recipe"), str):
        raise RecipeError([f"{path}: carries no recipe; only pictures that fusionkit wrote do"])
    return found


def _write(image: Image, path: Path, kind: str, text: str) -> None:
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt(KEY, text)
        image.save(path, kind, pnginfo=info)
        return
    exif = image.getexif()
    exif[_IMAGE_DESCRIPTION] = text
    image.save(path, kind, quality=95, exif=exif)


@contextmanager
def _claimed(path: Path, overwrite: bool) -> Iterator[tuple[Path, Path]]:
    """A name that is ours, and a temporary file beside it that takes that name if all goes well."""
    target = path if overwrite else _reserve(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        yield target, Path(name)
        # mkstemp makes files that only their owner can read; a picture is as any other file.
        os.chmod(name, 0o666 & ~umask())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        if not overwrite:
            target.unlink(missing_ok=True)
        raise


def _reserve(path: Path) -> Path:
    """The first free name, taken at once, so that two runs at the same time can't choose the same."""
    for each in _numbered(path):
        try:
            each.open("xb").close()
        except FileExistsError:
            continue
        return each
    raise AssertionError("the numbers have no end")


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    for number in count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def _slug(text: str) -> str:
    """A text as a part of a file's name, of at most 60 characters."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-.")[:60].strip("-.") or "picture"


def _no_format(path: Path) -> str:
    return f"output '{path}': a picture's name ends in {', '.join(_FORMATS)}"


def _folder_problem(folder: Path, size_in_bytes: int) -> str:
    if not folder.is_dir():
        return f"output folder '{folder}' is a file"
    try:
        # Permissions alone do not tell: a read-only mount, or a full quota, shows when something is written.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return f"output folder '{folder}' is not writable: {error.strerror}"
    free = shutil.disk_usage(folder).free
    if free < size_in_bytes:
        return (
            f"output folder '{folder}' has {in_bytes(free)} free, and the pictures may need {in_bytes(size_in_bytes)}"
        )
    return ""


def in_bytes(number: float) -> str:
    """A number of bytes as people write it: 3.2 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
