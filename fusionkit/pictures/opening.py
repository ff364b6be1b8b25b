"""Opens picture files, whoever made them: ordinary files of a list of formats, of any size that the memory holds."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from fusionkit.errors import FusionError
from fusionkit.pictures import pillow
from fusionkit.pictures.files import in_bytes
from fusionkit.recipe.texts import odd_kind
from fusionkit.trust import refusal

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")
"""What is opened, by Pillow's names. Others are not even tried: some run other programs, and few have good readers."""

_UNKNOWN, _CONVERT = "is no picture of a known format", "convert it to PNG"
# Of one pixel: Pillow keeps 4 bytes of what is decoded, and 3 go to an array. Others are converted, some in floats.
_BYTES_A_PIXEL, _BYTES_A_CONVERTED_PIXEL = 8, 24
# A few bytes that announce gigabytes are found out before anything is reserved for them: deflate shrinks zeros to
# 1/1032, and a block of 8x8 pixels of a JPEG takes at least a bit.
_DEFLATED, _PIXELS_A_BIT_OF_JPEG = 1032, 64
_BITS_OF_PNG = {"RGB": 24, "RGBA": 32, "LA": 16, "I;16": 16}  # at least; the others may have one
_LARGE = 2**26  # pixels; so large ones are decoded one after the other, whatever the number of threads
_one_at_a_time = threading.RLock()


class PictureError(FusionError):
    """A picture file that can't be used.

    Args:
        path: The file.
        says: What is wrong with it, as what follows its name: "does not exist".
        detail: Where the file is damaged: how.
    """

    exit_code = 2

    def __init__(self, path: Path, says: str, detail: str = "") -> None:
        self.path, self.says, self.detail = path, says, detail
        super().__init__(f"'{path}' {says}")


@contextmanager
def opened(path: Path) -> Iterator[ImageFile]:
    """A picture file whose header is read, and whose pixels are not.

    Pillow's limit of pixels does not apply: `check_memory` is asked before pixels are decoded. It is left as it is, but
    for the moment in which a reader that asks for it on its own meets a picture beyond it.

    Raises:
        PictureError: It is missing, no ordinary file, of another format, or damaged; also for what is raised inside.
    """
    if refused := refusal(path):
        raise PictureError(path, refused)
    with _library_errors(path), pillow.quiet, _ordinary(path) as file, _parsed(path, file) as image:
        yield image


def decode(image: ImageFile, path: Path) -> None:
    """Decode the pixels of an opened picture.

    Raises:
        PictureError: They take more memory than there is, or the file is too short to hold them.
    """
    pixels = image.width * image.height
    if pixels < _LARGE:
        _load(image)
        return
    if _least_bytes(image) > (size := path.stat().st_size):
        raise _damaged(path, f"{image.width}x{image.height} pixels can't be in {in_bytes(size)}")
    with _one_at_a_time:
        each = _BYTES_A_PIXEL if image.mode in ("RGB", "L") else _BYTES_A_CONVERTED_PIXEL
        check_memory(path, pixels * each, f"has {image.width}x{image.height} pixels")
        _load(image)


def _least_bytes(image: ImageFile) -> int:
    """How many bytes a picture's file has at least, whatever its pixels are; 0 where nothing is known."""
    pixels = image.width * image.height
    if image.format == "PNG":
        return pixels * _BITS_OF_PNG.get(image.mode, 1) // 8 // _DEFLATED
    return pixels // _PIXELS_A_BIT_OF_JPEG // 8 if image.format == "JPEG" else 0


def _load(image: ImageFile) -> None:
    from PIL import Image

    try:
        image.load()
    except Image.DecompressionBombError:
        with pillow.without_limit:
            image.load()


def check_memory(path: Path, needed: int, what: str) -> None:
    """Refuse what needs more memory than there is.

    Args:
        path: The file.
        needed: Bytes.
        what: What needs it, as what follows the file's name.

    Raises:
        PictureError: There is less.
    """
    free = available_memory()
    if needed > free:
        raise PictureError(path, f"{what}, which take {in_bytes(needed)} of memory; {in_bytes(free)} are free")


def available_memory() -> int:
    """Bytes of memory that this process may still take."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        # A container may have less than its machine.
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text() for name in ("max", "current"))
        free = min(free, max(0, int(limit) - int(used)))
    except (OSError, ValueError):
        pass
    return free


@contextmanager
def _ordinary(path: Path) -> Iterator[BinaryIO]:
    """An ordinary file, open. Pipes would let us wait for ever, and devices never end."""

    def check(mode: int) -> None:
        if kind := odd_kind(mode):
            raise PictureError(path, f"is {kind}, not a picture")

    check(path.stat().st_mode)
    # Somebody may have put a pipe there since: opened so, it does not wait.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        check(found.st_mode)
        if found.st_size == 0:
            raise PictureError(path, "is empty, not a picture")
        yield file


@contextmanager
def _parsed(path: Path, file: BinaryIO) -> Iterator[ImageFile]:
    from PIL import Image

    prefix = file.read(64)
    Image.init()
    for kind in FORMATS:
        factory, accept = Image.OPEN.get(kind, (None, None))
        # A text in place of yes or no says that this Pillow lacks the format.
        if factory is None or accept is None or not (fits := accept(prefix[:16])):
            continue
        if kind == "AVIF" and b"avi" not in prefix[8:]:
            continue  # HEIC may call itself by the container's name alone
        if isinstance(fits, str):
            raise PictureError(path, f"is {kind}, which this installation of Pillow can't read; {_CONVERT}")
        with _image(path, file, kind, factory) as image:
            yield image
        return
    name = pillow.format_name(prefix, FORMATS)
    raise PictureError(path, f"is {name}, which is not opened; {_CONVERT}" if name else _UNKNOWN)


@contextmanager
def _image(path: Path, file: BinaryIO, kind: str, factory: Any) -> Iterator[ImageFile]:
    from PIL import Image

    if kind in ("WEBP", "AVIF"):  # read as a whole
        size = os.fstat(file.fileno()).st_size
        check_memory(path, size, f"has {in_bytes(size)}")
    file.seek(0)
    try:
        image = factory(file, "")
    except Image.DecompressionBombError:
        # Some readers ask for the limit themselves, when they open a file or decode it.
        file.seek(0)
        with pillow.without_limit:
            image = factory(file, "")
    with image:
        if min(image.size) < 1:
            raise _damaged(path, f"it has {image.width}x{image.height} pixels")
        if problem := pillow.misread(image):
            raise _damaged(path, problem)
        if kind == "PNG" and (coding := pillow.coding_of_png(file)):
            image.info["cicp"] = coding
        yield image


def _damaged(path: Path, detail: str) -> PictureError:
    return PictureError(path, f"can't be read: {detail}", detail)


@contextmanager
def _library_errors(path: Path) -> Iterator[None]:
    """What Pillow and the system raise, as one line that names the file."""
    try:
        yield
    except FusionError:
        raise
    except FileNotFoundError:
        raise PictureError(path, "does not exist") from None
    except UnicodeError:
        raise PictureError(path, "has a name that no file can have") from None
    except MemoryError:
        raise PictureError(path, "does not fit into the memory") from None
    except Exception as error:
        # Damaged files lead Pillow's readers into any exception: SyntaxError, struct.error, KeyError, ...
        raise _damaged(path, getattr(error, "strerror", None) or pillow.in_our_words(error)) from error
