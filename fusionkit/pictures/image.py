"""Pictures as files: named by a template, never written over another one, and with what made them inside."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from zlib import Z_RLE

from fusionkit.errors import FusionError, RecipeError
from fusionkit.pictures import deep_zoom, parameters
from fusionkit.pictures.files import existing, folder_problem, write_file
from fusionkit.pictures.files import in_bytes as in_bytes
from fusionkit.pictures.folders import write_with_folder
from fusionkit.pictures.metadata import IMAGE_DESCRIPTION, KEY
from fusionkit.pictures.metadata import metadata_of as metadata_of
from fusionkit.pictures.metadata import read_metadata as read_metadata
from fusionkit.pictures.metadata import versions as versions
from fusionkit.pictures.names import free_path as free_path
from fusionkit.pictures.names import leads_nowhere, name_problem
from fusionkit.pictures.names import output_path as output_path
from fusionkit.pictures.tiff import write_tiff

if TYPE_CHECKING:
    from PIL.Image import Image

    from fusionkit.recipe.recipe import Recipe

_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    deep_zoom.SUFFIX: "deep zoom",
}
_XMP_OF_PNG = "XML:com.adobe.xmp"
_LARGEST_SIDE = {"JPEG": 65500, "WEBP": 16383}
# Of EXIF, beside its own headers; and what a picture says beside its recipe, roughly.
_MOST_IN_JPEG, _MOST_BESIDE_RECIPE = 65_000, 2000
# Beside the pixels: text, headers, and what is lost to the file system's blocks.
_MARGIN = 1 << 20


def output_problems(paths: Iterable[Path], size: tuple[int, int]) -> list[str]:
    """Why pictures of a size, (width, height) in pixels, could not be written; one line for each reason."""
    problems: list[str] = []
    needed: dict[Path, int] = {}
    for path in paths:
        if problem := name_problem(path):
            advice = "use a shorter one" if "bytes" in problem else "use another one"
            problems.append(f"output '{path}' {problem}; {advice}")
            continue
        kind, side = _FORMATS.get(path.suffix.lower(), ""), max(size)
        if not kind:
            problems.append(_no_format(path))
        elif side > _LARGEST_SIDE.get(kind, side):
            most = f"{kind} holds at most {_LARGEST_SIDE[kind]} pixels a side"
            problems.append(f"output '{path}': {most}, not {side}; use .tif or .dzi")
        elif path.is_dir():
            problems.append(f"output '{path}' is a folder; give a file's name")
        folder = path.parent if leads_nowhere(path.parent) else existing(path.parent)
        needed[folder] = needed.get(folder, 0) + size[0] * size[1] * 3 + _MARGIN
    for folder, size_in_bytes in needed.items():
        if problem := _folder_problem(folder, size_in_bytes):
            problems.append(problem)
    return list(dict.fromkeys(problems))


def save_image(
    image: Image,
    path: Path,
    metadata: Mapping[str, Any],
    *,
    overwrite: bool = False,
    once: bool = False,
    before: Callable[[Path], object] | None = None,
) -> Path:
    """Write a picture, whole or not at all, with its metadata.

    Args:
        image: The picture.
        path: The file; its folder is made. PNG, JPEG, WebP, TIFF, or deep zoom with its folder of tiles, by its name.
        metadata: As from `metadata_of`.
        overwrite: Replace an existing file; otherwise a number is added to the new one's name.
        once: As for `files.write_file`.
        before: As for `files.write_file`.

    Returns:
        Where the picture is.

    Raises:
        RecipeError: The file's name has no known format.
        FusionError: The file can't be written.
    """
    if path.suffix.lower() not in _FORMATS:
        raise RecipeError([_no_format(path)])
    kind, text = _FORMATS[path.suffix.lower()], json.dumps(_ours(metadata), ensure_ascii=True)
    others = str(metadata.get(parameters.KEY, ""))
    if kind == "deep zoom":
        return _write_deep_zoom(image, path, metadata, overwrite=overwrite)
    return write_file(
        path, lambda file: _write(image, file, kind, text, others), replace=overwrite, once=once, before=before
    )


def _write_deep_zoom(image: Image, path: Path, metadata: Mapping[str, Any], *, overwrite: bool) -> Path:
    def copy(small: Image, to: Path) -> None:
        small.info.update(image.info)
        save_image(small, to, metadata)

    return write_with_folder(
        path,
        deep_zoom.described(image.size),
        lambda folder: deep_zoom.write_tiles(image, folder, copy),
        beside=deep_zoom.files_of,
        replace=overwrite,
    )


def _ours(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name != parameters.KEY}


def save_or_keep(
    image: Image,
    path: Path,
    metadata: Mapping[str, Any],
    *,
    overwrite: bool = False,
    before: Callable[[Path], object] | None = None,
) -> Path:
    """Write a picture that took its time, as `save_image` does; where it can't be written, keep it somewhere else.

    Raises:
        FusionError: It can't be written; says where it is kept: beside, in the working folder, or in the folder for
            temporary files.
    """
    try:
        return save_image(image, path, metadata, overwrite=overwrite, before=before)
    except FusionError as error:
        from fusionkit.pictures.on_disk import PictureOnDisk

        # PNG holds any size and any recipe, but needs all of the picture in memory.
        name = f"fusionkit-kept.{'tif' if isinstance(image, PictureOnDisk) else 'png'}"
        for folder in dict.fromkeys((path.parent, Path(), Path(tempfile.gettempdir()))):
            try:
                kept = save_image(image, folder / name, metadata)
            except FusionError:
                continue
            raise FusionError(f"{error}; the picture is kept as '{kept}'") from error
        raise FusionError(f"{error}; nowhere else can the picture be kept, either") from error


def _write(image: Image, file: BinaryIO, kind: str, text: str, others: str) -> None:
    """Write a picture with our text, and that for other programs, where there is one."""
    # Where a run puts its notes, and where Pillow has them of a file that it reads.
    xmp = image.info.get("xmp") or b""
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt(KEY, text)
        if others:
            info.add_text(parameters.KEY, others)
        if xmp:
            info.add_itxt(_XMP_OF_PNG, xmp.decode())
        # Drawn pictures hold noise, in which searching for repetitions costs much and finds little: looking for runs
        # alone takes a quarter of the time of Pillow's default, for files of equal size. docs/performance.md has more.
        told = {"exif": exif} if (exif := image.info.get("exif")) else {}
        image.save(file, kind, pnginfo=info, compress_type=Z_RLE, **told)
        return
    if kind == "TIFF":
        write_tiff(image, file, text)
        return
    if problem := _too_much_said(kind, len(text)):
        raise ValueError(problem)
    from PIL.Image import Exif

    told = {"xmp": xmp} if xmp else {}
    exif, kept = Exif(), image.info.get("exif", b"")
    # What a recipe leaves no room for is left out.
    if _too_much_said(kind, len(text) + len(kept)):
        kept = b""
    exif.load(kept)  # a copy: what the picture itself has stays as it is
    exif[IMAGE_DESCRIPTION] = text
    comment = parameters.as_user_comment(others)
    if others and not _too_much_said(kind, len(text) + len(comment) + len(kept)):
        exif.get_ifd(parameters.EXIF_IFD)[parameters.USER_COMMENT] = comment
    data = BytesIO()
    image.save(data, kind, quality=95, exif=exif, **told)
    file.write(data.getbuffer())


def recipe_problem(recipe: Recipe, path: Path) -> str:
    """Why a recipe can't be put into a picture's file, in one line; empty where it can."""
    kind = _FORMATS.get(path.suffix.lower(), "")
    problem = _too_much_said(kind, len(json.dumps(recipe.to_yaml())) + _MOST_BESIDE_RECIPE) if kind == "JPEG" else ""
    return f"output '{path}': {problem}" if problem else ""


def _too_much_said(kind: str, size: int) -> str:
    if kind != "JPEG" or size <= _MOST_IN_JPEG:
        return ""
    return f"JPEG has room for {in_bytes(_MOST_IN_JPEG)} of recipe, and this one takes {in_bytes(size)}; use .png"


def _no_format(path: Path) -> str:
    return f"output '{path}': a picture's name ends in {', '.join(_FORMATS)}"


def _folder_problem(folder: Path, size_in_bytes: int) -> str:
    if problem := folder_problem(folder):
        return f"output folder {problem}"
    free = shutil.disk_usage(there := existing(folder)).free
    if free < size_in_bytes:
        return f"output folder '{there}' has {in_bytes(free)} free, and the pictures may need {in_bytes(size_in_bytes)}"
    return ""
