"""BigTIFF: pictures of any size, written tile by tile, and read again so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

TILE = 256
"""Pixels along one side of a tile."""

# Bytes of tiles that are packed together; the library's own default is 256 MB.
_BUFFER = 2**24
_XMP = 700
# Of EXIF what TIFF itself has: who, with which camera, when. Make, Model, DateTime, Artist, Copyright.
_OF_TIFF = (0x010F, 0x0110, 0x0132, 0x013B, 0x8298)
_TEXT, _BYTES = 2, 1


def write_tiff(image: Image, file: BinaryIO, text: str) -> None:
    """Write a picture in RGB, losslessly, a row of tiles at a time.

    Args:
        image: The picture; of one on the disk, no more than a row of tiles is in memory.
        file: Where it goes.
        text: What it says of how it was made, in ASCII: its ImageDescription.
    """
    import numpy as np
    import tifffile

    # A file that was opened by its number has that as its name.
    named: Any = tifffile.FileHandle(file, name="picture.tif", size=0)
    with tifffile.TiffWriter(named, bigtiff=True) as tiff:
        tiff.write(
            _tiles(image),
            shape=(image.height, image.width, 3),
            dtype=np.uint8,
            photometric="rgb",
            tile=(TILE, TILE),
            compression="zlib",
            # As for PNG: drawn pictures hold noise, in which searching long finds little.
            compressionargs={"level": 1},
            predictor=True,
            buffersize=_BUFFER,
            description=text or None,
            software="fusionkit",
            metadata=None,
            extratags=_tags(image),
        )


def _tiles(image: Image) -> Iterator[NDArray[np.uint8]]:
    import numpy as np

    from fusionkit.pictures.on_disk import strips_of

    for strip in strips_of(image, TILE):
        for left in range(0, image.width, TILE):
            found = strip[:, left : left + TILE]
            tile = np.zeros((TILE, TILE, 3), np.uint8)
            tile[: found.shape[0], : found.shape[1]] = found
            yield tile


def _tags(image: Image) -> list[tuple[Any, ...]]:
    from PIL.Image import Exif

    tags: list[tuple[Any, ...]] = []
    if xmp := image.info.get("xmp") or b"":
        tags.append((_XMP, _BYTES, len(xmp), xmp, True))
    exif = Exif()
    exif.load(image.info.get("exif", b""))
    for tag in _OF_TIFF:
        told = str(exif.get(tag, "")).encode("ascii", "ignore").decode()
        if told:
            tags.append((tag, _TEXT, 0, told, True))
    return tags


def tiles_are_whole(path: Path) -> str:
    """Whether each tile of a TIFF of ours can be decoded, one after the other; what is wrong, or nothing."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page: Any = tiff.pages.first
            for segment, _, _ in page.segments(maxworkers=1, sort=True):
                if segment is None:
                    return "a tile of it is missing"
    except Exception as error:  # noqa: BLE001 - damaged files lead into any exception
        return " ".join(str(error).split())[:200] or type(error).__name__
    return ""
