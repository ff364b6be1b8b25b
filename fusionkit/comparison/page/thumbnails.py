"""Small copies of a comparison's pictures, so that its page opens at once whatever the size of the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from fusionkit.errors import FusionError
from fusionkit.pictures.files import write_whole
from fusionkit.pictures.opening import PictureError
from fusionkit.pictures.picture import open_picture

SIZE = (480, 320)
"""What a thumbnail fits into, (width, height) in pixels; a smaller picture keeps its size."""


def make_thumbnails(
    folder: Path, report: Mapping[str, Any], write: Callable[[Path, bytes], Path] = write_whole
) -> list[Path]:
    """Make the thumbnails of a comparison that are not there yet, or are older than their pictures.

    Pictures that are not there are passed over: they may still be drawn.

    Args:
        folder: The comparison's folder, which the report's paths are relative to.
        report: What is in the comparison's `report.json`.
        write: Writes a file whole.

    Returns:
        The thumbnails that were made.

    Raises:
        FusionError: Some pictures can't be read (all are named, and the other thumbnails are made), or a thumbnail
            can't be written.
    """
    made, unreadable = [], []
    for picture in report["pictures"]:
        if not picture.get("thumbnail"):
            continue
        source, target = folder / picture["file"], folder / picture["thumbnail"]
        if not source.is_file() or _is_current(target, source):
            continue
        try:
            data = _thumbnail(source)
        except PictureError as error:
            unreadable.append(f"{source}: can't be read as a picture: {error.detail or f'it {error.says}'}")
            continue
        made.append(write(target, data))
    if unreadable:
        raise FusionError("\n".join(unreadable))
    return made


def _is_current(thumbnail: Path, picture: Path) -> bool:
    return thumbnail.is_file() and thumbnail.stat().st_mtime_ns >= picture.stat().st_mtime_ns


def _thumbnail(path: Path) -> bytes:
    """The bytes of a small WebP; 80 is Pillow's own default quality, about 10 kB."""
    from PIL import Image

    small = open_picture(path)
    small.thumbnail(SIZE, Image.Resampling.LANCZOS, reducing_gap=2.0)
    data = BytesIO()
    small.save(data, "WEBP", quality=80)
    return data.getvalue()
