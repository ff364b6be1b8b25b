"""Opens picture files, whoever made them: ordinary files of a list of formats, of any size that the memory holds."""

from __future__ import annotations

import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from fusionkit.errors import FusionError
from fusionkit.files import in_bytes

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")
"""What is opened, by Pillow's names. Others are not even tried: some run other programs, and few have good readers."""

# First bytes of what people take for pictures and Pillow can't name.
_STRANGERS = {
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"<?xml": "SVG or other XML",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"gimp xcf": "GIMP XCF",
}
# What Pillow says of damaged files, in lower case, and what it means.
_OUR_WORDS = {
    "truncated": "it is cut off",
    "null byte": "no file's name holds the character 0",
    "null character": "no file's name holds the character 0",
    "max_text": "it holds more text than a picture's notes may take, 1 MB unpacked",
    "not identified by this driver": "its header makes no sense",
    "unknown pixel mode": "its numbers are of a kind that is not known; save it with 8 or 16 bits a colour",
}
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# Of one pixel: Pillow keeps 4 bytes of what is decoded, and 3 go to an array. Others are converted, some in floats.
_BYTES_A_PIXEL, _BYTES_A_CONVERTED_PIXEL = 8, 24
# A few bytes that announce gigabytes are found out before anything is reserved for them: deflate shrinks zeros to
# 1/1032, and a block of 8x8 pixels of a JPEG takes at least a bit.
_DEFLATED, _PIXELS_A_BIT_OF_JPEG = 1032, 64
_BITS_OF_PNG = {"RGB": 24, "RGBA": 32, "LA": 16, "I;16": 16}  # at least; the others may have one
_LARGE = 2**26  # pixels; so large ones are decoded one after the other, whatever the number of threads


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

    Pillow's limit of pixels does not apply, nor is it changed: `check_memory` is asked before pixels are decoded.

    Raises:
        PictureError: It is missing, no ordinary file, of another format, or damaged; also for what is raised inside.
    """
    with _library_errors(path), _shared_quiet, _ordinary(path) as file, _parsed(path, file) as image:
        yield image


def decode(image: ImageFile, path: Path) -> None:
    """Decode the pixels of an opened picture.

    Raises:
        PictureError: They take more memory than there is, or the file is too short to hold them.
    """
    pixels = image.width * image.height
    if _least_bytes(image) > (size := path.stat().st_size):
        raise _damaged(path, f"{image.width}x{image.height} pixels can't be in {in_bytes(size)}")
    if pixels < _LARGE:
        _load(image)
        return
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
        with _shared_limit:
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
        if not stat.S_ISREG(mode):
            kind = next((name for of_kind, name in _KINDS if of_kind(mode)), "no ordinary file")
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
            raise PictureError(path, f"is {kind}, which this installation of Pillow can't read; {_convert()}")
        with _image(path, file, kind, factory) as image:
            yield image
        return
    name = _named(prefix)
    raise PictureError(path, f"is {name}, which is not opened; {_convert()}" if name else _UNKNOWN)


_UNKNOWN = "is no picture of a known format"


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
        with _shared_limit:
            image = factory(file, "")
    with image:
        if min(image.size) < 1:
            raise _damaged(path, f"it has {image.width}x{image.height} pixels")
        yield image


def _named(prefix: bytes) -> str:
    """What a file of another format is; empty where nobody knows."""
    from PIL import Image

    for begin, name in _STRANGERS.items():
        if prefix.lstrip().startswith(begin):
            return name
    if prefix[4:8] == b"ftyp":
        return "HEIC" if prefix[8:11] in (b"hei", b"hev", b"mif", b"msf") else "a film"
    # `accept` looks at these bytes and opens nothing.
    for name, (_, accept) in Image.OPEN.items():
        if name not in (*FORMATS, "CUR") and accept is not None and accept(prefix[:16]) is True:
            return {"EPS": "PostScript"}.get(name, name)
    return ""


def _convert() -> str:
    return "convert it to PNG"


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
        raise _damaged(path, getattr(error, "strerror", None) or _in_our_words(error)) from error


def _in_our_words(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return next((ours for theirs, ours in _OUR_WORDS.items() if theirs in text.lower()), text or type(error).__name__)


class _Shared:
    """A state of the whole process that several threads hold together: the first sets it, the last sets it back."""

    def __init__(self) -> None:
        self._lock, self._holders = threading.Lock(), 0

    def begin(self) -> None:
        """Set the state."""

    def end(self) -> None:
        """Set it back."""

    def __enter__(self) -> None:
        with self._lock:
            if not self._holders:
                self.begin()
            self._holders += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._holders -= 1
            if not self._holders:
                self.end()


class _Quiet(_Shared):
    """Pillow warns of careless headers that it can do without."""

    def begin(self) -> None:
        self._caught = warnings.catch_warnings()
        self._caught.__enter__()
        warnings.simplefilter("ignore")

    def end(self) -> None:
        self._caught.__exit__(None, None, None)


class _WithoutLimit(_Shared):
    """Pillow's limit of pixels, lifted where a reader asks for it on its own, while it reads one that is larger."""

    def begin(self) -> None:
        from PIL import Image

        self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None

    def end(self) -> None:
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = self._limit


_one_at_a_time = threading.RLock()
_shared_quiet, _shared_limit = _Quiet(), _WithoutLimit()
