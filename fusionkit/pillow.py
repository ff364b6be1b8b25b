"""What is Pillow's own: its state of the whole process, its words for damaged files, and the formats that it knows."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Collection

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
    return next((ours for theirs, ours in _OUR_WORDS.items() if theirs in text.lower()), text or type(error).__name__)


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
