"""What is Pillow's own: its state of the whole process, its words for damaged files, and the formats that it knows."""

from __future__ import annotations

import logging
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

# It tells of damaged files by logging, too, which prints where nobody listens.
logging.getLogger("PIL").addHandler(logging.NullHandler())

OPENED_AT_MOST = 2 * 89_478_485
"""Pixels of the largest picture that Pillow opens for a program that does not ask it for larger ones."""

# First bytes of what people take for pictures and Pillow can't name.
_STRANGERS = {
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"<?xml": "SVG or other XML",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"gimp xcf": "GIMP XCF",
}
_NO_SENSE = "its header makes no sense"
# What Pillow says of damaged files, in lower case, and what it means.
_OUR_WORDS = {
    "truncated": "it is cut off",
    "null byte": "no file's name holds the character 0",
    "null character": "no file's name holds the character 0",
    "max_text": "it holds more text than a picture's notes may take, 1 MB unpacked",
    "not identified by this driver": _NO_SENSE,
    "samples per pixel": _NO_SENSE,
    "invalid literal": _NO_SENSE,
    "token too long": _NO_SENSE,
    "unknown raw mode": _NO_SENSE,
    "missing dimensions": _NO_SENSE,
    "codec configuration": _NO_SENSE,
    "could not create decoder object": "it is cut off, or its header makes no sense",
    "failed to read next frame": "it is cut off",
    "unknown pixel mode": "its numbers are of a kind that is not known; save it with 8 or 16 bits a colour",
}


def format_name(prefix: bytes, opened: Collection[str]) -> str:
    """What a file is that is of none of the formats that are opened; empty where nobody knows.

    Args:
        prefix: Its first bytes.
        opened: Those formats.
    """
    from PIL import Image

    for begin, name in _STRANGERS.items():
        if prefix.lstrip().startswith(begin):
            return name
    if prefix[4:8] == b"ftyp":
        return "HEIC" if prefix[8:11] in (b"hei", b"hev", b"mif", b"msf") else "a film"
    # `accept` looks at these bytes and opens nothing.
    for name, (_, accept) in Image.OPEN.items():
        if name not in (*opened, "CUR") and accept is not None and accept(prefix[:16]) is True:
            return {"EPS": "PostScript"}.get(name, name)
    return ""


def in_our_words(error: Exception) -> str:
    """What an exception of Pillow's means for whoever has the file."""
    text = " ".join(str(error).split())[:200]
    if isinstance(error, struct.error):
        return _OUR_WORDS["truncated"]
    if isinstance(error, LookupError):
        return _NO_SENSE
    return next((ours for theirs, ours in _OUR_WORDS.items() if theirs in text.lower()), text or type(error).__name__)


# TIFF's tags.
_BITS, _PHOTOMETRIC, _PLANAR, _SAMPLES = 258, 262, 284, 339
_WHITE_IS_ZERO, _SEPARATE, _SIGNED = 0, 2, 2


def misread(image: ImageFile) -> str:
    """Why Pillow would make other pixels of a file than it holds, and what to do; empty where it does not.

    Args:
        image: An opened picture, not decoded yet.
    """
    tags: Any = getattr(image, "tag_v2", None)
    if tags is None:
        return ""
    bits = {*_all(tags.get(_BITS, 1))}
    unpacked = image.info.get("compression") == "raw"
    if unpacked and tags.get(_PLANAR) == _SEPARATE and (bits != {8} or tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO):
        return "its colours lie in planes, of more than 8 bits or counted from white; save it as PNG"
    if bits == {8} and _SIGNED in _all(tags.get(_SAMPLES, 1)):
        return "its numbers of 8 bits may be below 0; save it as PNG"
    return ""


def _all(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


_MOST_CHUNKS = 1000


def coding_of_png(file: BinaryIO) -> bytes:
    """The chunk `cICP` of a PNG, which says how its numbers become light (ITU-T H.273); empty where there is none.

    Args:
        file: The PNG; it is left where it was.
    """
    before = file.tell()
    try:
        file.seek(8)
        for _ in range(_MOST_CHUNKS):
            head = file.read(8)
            if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
                break
            length = struct.unpack(">I", head[:4])[0]
            if head[4:] == b"cICP":
                return file.read(4) if length == 4 else b""
            file.seek(length + 4, 1)
        return b""
    finally:
        file.seek(before)


_BLOCK = 1 << 20


def breaks_off(file: BinaryIO, kind: str) -> bool:
    """Whether a file of a format ends before its end, or a checksum of a PNG is wrong; Pillow passes over some of it.

    Args:
        file: The file, at its beginning.
        kind: Its format, by Pillow's name.
    """
    if kind == "PNG":
        file.seek(8)
        return not any(name == b"IEND" for name in iter(lambda: _whole_chunk(file), b""))
    if kind == "JPEG":
        file.seek(-2, os.SEEK_END)
        return file.read(2) != b"\xff\xd9"
    return False


def _whole_chunk(file: BinaryIO) -> bytes:
    """The name of a PNG's next chunk; empty where there is none, or it is not whole."""
    head = file.read(8)
    if len(head) < 8:
        return b""
    left, checksum = struct.unpack(">I", head[:4])[0], zlib.crc32(head[4:])
    while left and (block := file.read(min(left, _BLOCK))):
        left, checksum = left - len(block), zlib.crc32(block, checksum)
    return head[4:] if not left and file.read(4) == struct.pack(">I", checksum) else b""


class Shared:
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


class Quiet(Shared):
    """Pillow warns of careless headers that it can do without."""

    def begin(self) -> None:
        """Ignore warnings."""
        self._caught = warnings.catch_warnings()
        self._caught.__enter__()
        warnings.simplefilter("ignore")

    def end(self) -> None:
        """Heed them again."""
        self._caught.__exit__(None, None, None)


class WithoutLimit(Shared):
    """Pillow's limit of pixels, lifted where a reader asks for it on its own, while it reads one that is larger."""

    def begin(self) -> None:
        """Lift it."""
        from PIL import Image

        self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None

    def end(self) -> None:
        """Set it again."""
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = self._limit


quiet, without_limit = Quiet(), WithoutLimit()
