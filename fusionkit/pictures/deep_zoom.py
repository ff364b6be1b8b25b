"""Deep zoom (`.dzi`): a picture as a pyramid of small tiles, which viewers in a browser load where somebody looks.

`a.dzi` says how large the picture is; `a_files/` has a folder for each level, from 0, a single pixel, to the picture
itself. OpenSeadragon and others show it. There, `picture.png` is a small copy that carries the recipe.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SUFFIX, FILES, COPY = ".dzi", "_files", "picture.png"
TILE, OVERLAP = 510, 1
"""Pixels along one side of a tile without those that it shares with its neighbours, and how many these are."""

_QUALITY = 95
_COPY_SIDE = 512
_LONGEST = 10_000
_TEXT = """<?xml version="1.0" encoding="UTF-8"?>
<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="jpg" Overlap="{overlap}" TileSize="{tile}">
  <Size Width="{width}" Height="{height}"/>
</Image>
"""


def files_of(path: Path) -> Path:
    """The folder of a deep zoom's tiles."""
    return path.with_name(path.stem + FILES)


def copy_of(path: Path) -> Path:
    """What Pillow can open of a picture: of a deep zoom its small copy, of any other the file itself."""
    return files_of(path) / COPY if path.suffix.lower() == SUFFIX else path


def described(size: tuple[int, int]) -> str:
    """The text of the `.dzi` of a picture of (width, height) pixels."""
    return _TEXT.format(overlap=OVERLAP, tile=TILE, width=size[0], height=size[1])


def levels_of(size: tuple[int, int]) -> list[tuple[int, int]]:
    """(width, height) of each level, from a single pixel to the picture."""
    sizes = [size]
    while sizes[-1] != (1, 1):
        width, height = sizes[-1]
        sizes.append(((width + 1) // 2, (height + 1) // 2))
    return sizes[::-1]


def write_tiles(image: Image, folder: Path, save_copy: Callable[[Image, Path], object]) -> None:
    """Write all levels' tiles of a picture in RGB, the largest first.

    Args:
        image: The picture; of one on the disk, the levels are, too, while they are made.
        folder: An empty folder.
        save_copy: Writes the small copy, with what it says of how it was made.
    """
    import numpy as np

    from fusionkit.pictures.on_disk import PictureOnDisk

    levels = levels_of(image.size)
    on_disk = isinstance(image, PictureOnDisk)
    pixels: NDArray[np.uint8] = image.pixels if isinstance(image, PictureOnDisk) else np.asarray(image.convert("RGB"))
    copied = False
    for number in range(len(levels) - 1, -1, -1):
        _write_level(pixels, folder / str(number))
        if not copied and max(levels[number]) <= _COPY_SIDE:
            save_copy(_picture(pixels), folder / COPY)
            copied = True
        if number:
            pixels = _halved(pixels, folder if on_disk else None)


def _write_level(pixels: NDArray[np.uint8], folder: Path) -> None:
    folder.mkdir()
    height, width = pixels.shape[:2]
    for row in range(-(-height // TILE)):
        for column in range(-(-width // TILE)):
            top, left = (max(0, at * TILE - OVERLAP) for at in (row, column))
            bottom, right = ((at + 1) * TILE + OVERLAP for at in (row, column))
            tile = _picture(pixels[top:bottom, left:right])
            tile.save(folder / f"{column}_{row}.jpg", quality=_QUALITY)


def _picture(pixels: NDArray[np.uint8]) -> Image:
    import numpy as np
    from PIL.Image import fromarray

    return fromarray(np.ascontiguousarray(pixels))


def _halved(pixels: NDArray[np.uint8], folder: Path | None) -> NDArray[np.uint8]:
    """Half the size, rounded up: the mean of each 2 x 2 pixels; in a file of a folder, or in memory."""
    import numpy as np

    from fusionkit.pictures.on_disk import mapped

    height, width = ((side + 1) // 2 for side in pixels.shape[:2])
    size = height * width * 3
    buffer: Any = np.empty(size, np.uint8) if folder is None else mapped(folder, size)
    half: NDArray[np.uint8] = np.frombuffer(buffer, np.uint8).reshape(height, width, 3)
    rows = max(1, 2**20 // width)
    for top in range(0, height, rows):
        part = pixels[2 * top : 2 * (top + rows)].astype(np.uint16)
        part = np.pad(part, ((0, part.shape[0] % 2), (0, part.shape[1] % 2), (0, 0)), mode="edge")
        total = part[::2, ::2] + part[1::2, ::2] + part[::2, 1::2] + part[1::2, 1::2]
        half[top : top + rows] = (total + 2) >> 2
    return half


def size_of(path: Path) -> tuple[int, int] | None:
    """(width, height) of the picture that a `.dzi` of ours tells; None where it tells none."""
    try:
        with path.open(encoding="utf-8") as file:
            found = re.search(r'<Size Width="(\d{1,9})" Height="(\d{1,9})"/>', file.read(_LONGEST))
    except (OSError, ValueError):
        return None
    size = (0, 0) if found is None else (int(found[1]), int(found[2]))
    return size if min(size) > 0 else None


def missing(path: Path, size: tuple[int, int]) -> str:
    """Which tile of a deep zoom of (width, height) pixels is missing; empty where all of them are there."""
    for number, (width, height) in enumerate(levels_of(size)):
        for column in range(-(-width // TILE)):
            for row in range(-(-height // TILE)):
                if not (files_of(path) / str(number) / f"{column}_{row}.jpg").is_file():
                    return f"the tile {number}/{column}_{row}.jpg is missing"
    return ""
