"""Pictures, and other large arrays, that lie in temporary files and not in memory."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fusionkit.errors import FusionError
from fusionkit.pictures.names import existing

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRIP = 2**22
"""Pixels of a picture that are looked at together, roughly, where it is written or measured strip by strip."""

_CANNOT_RESERVE = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.ENODEV}


def mapped(folder: Path, size: int) -> mmap.mmap:
    """So many bytes, zeros, in a temporary file of a folder, which is gone when nobody has them any more.

    The room on the disk is taken at once: a write into memory whose file finds none kills a process.

    Args:
        folder: Where the file lies, or would lie: the nearest one above it that is there.
        size: Bytes, at least 1.

    Raises:
        FusionError: There is no room.
    """
    there = existing(folder)
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            _reserve(file.fileno(), size)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        from fusionkit.pictures.files import in_bytes

        raise FusionError(f"no room for {in_bytes(size)} in '{there}': {error.strerror or error}") from error


def _reserve(handle: int, size: int) -> None:
    reserve = getattr(os, "posix_fallocate", None)
    if reserve is not None:
        try:
            reserve(handle, 0, size)
            return
        except OSError as error:
            if error.errno not in _CANNOT_RESERVE:
                raise
    os.truncate(handle, size)


def forget_pages(buffer: mmap.mmap) -> None:
    """Let the system take back the memory that a file's pages take in this process; what they hold stays."""
    advice = getattr(mmap, "MADV_DONTNEED", None)
    if advice is not None:
        buffer.flush()
        buffer.madvise(advice)


class PictureOnDisk(Image.Image):
    """A picture in RGB whose pixels lie in a temporary file until somebody asks for all of them at once.

    It is a picture as any other of Pillow's. Its size, its parts (`crop`), its `strips`, and what `numpy.asarray` makes
    of it, which is read-only, cost no memory; whatever else Pillow does with it loads all of it.

    Args:
        size: (width, height) in pixels.
        folder: Where the file lies.

    Raises:
        FusionError: There is no room.
    """

    format = None

    def __init__(self, size: tuple[int, int], folder: Path) -> None:
        super().__init__()
        self._mode, self._size = "RGB", size
        width, height = size
        self._buffer = mapped(folder, width * height * 3)
        self.pixels: NDArray[np.uint8] = np.frombuffer(self._buffer, np.uint8).reshape(height, width, 3)
        """(H, W, 3), which may be written until somebody looks."""
        self._loaded = False

    def load(self) -> Any:
        """All pixels in memory, as Pillow needs them."""
        if not self._loaded:
            self.im = Image.fromarray(self.pixels).im
            self._loaded = True
        return super().load()

    def crop(self, box: tuple[float, float, float, float] | None = None) -> Image.Image:
        """A part of it, in memory, or in the same file where it begins with it; what lies outside is black."""
        if self._loaded or box is None:
            return super().crop(box)
        left, top, right, bottom = (round(each) for each in box)
        if left == top == 0 and 0 < right <= self.width and 0 < bottom <= self.height:
            return self.cut((right, bottom))
        inside = max(0, left), max(0, top), min(self.width, right), min(self.height, bottom)
        part = Image.new("RGB", (max(0, right - left), max(0, bottom - top)))
        if inside[0] < inside[2] and inside[1] < inside[3]:
            found = self.pixels[inside[1] : inside[3], inside[0] : inside[2]]
            part.paste(Image.fromarray(np.ascontiguousarray(found)), (inside[0] - left, inside[1] - top))
        return part

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """What numpy makes an array of, without a copy."""
        told: dict[str, Any] = dict(self.pixels.__array_interface__)
        told["data"] = (told["data"][0], True)
        return told

    def cut(self, size: tuple[int, int]) -> PictureOnDisk:
        """Its upper left part of (width, height) pixels, in the same file."""
        other = PictureOnDisk.__new__(PictureOnDisk)
        Image.Image.__init__(other)
        other._mode, other._size, other._loaded = "RGB", size, False
        other._buffer, other.pixels = self._buffer, self.pixels[: size[1], : size[0]]
        return other

    def forget_pages(self) -> None:
        """Let the system take back the memory of what was looked at."""
        forget_pages(self._buffer)


def strips_of(image: Image.Image, rows: int | None = None) -> Iterator[NDArray[np.uint8]]:
    """A picture in RGB from top to bottom, as arrays (rows, W, 3), the last one with what is left.

    Args:
        image: The picture; of one on the disk, no more than a strip is in memory.
        rows: None is as many as make about `STRIP` pixels.
    """
    pixels = image.pixels if isinstance(image, PictureOnDisk) else np.asarray(image.convert("RGB"))
    step = rows or max(1, STRIP // image.width)
    for top in range(0, image.height, step):
        yield pixels[top : top + step]
        if isinstance(image, PictureOnDisk):
            image.forget_pages()
