"""Texts and paths that nothing can use, in words that read on from the name of what holds them."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from fusionkit.recipe import limits

# Line breaks and tabs are text; the rest moves cursors, ends strings, or hides what is written.
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".dzi")
"""How the names of pictures end that are written, and that carry their recipe."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_HALF = re.compile("[\ud800-\udfff]")
_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISSOCK: "a socket",
}


def unfit_text(text: str) -> str:
    """Why a text can't be one of a recipe's; empty where it can."""
    if (found := _CONTROL.search(text)) is not None:
        return f"has the control character {ascii(found[0])[1:-1]}; leave it out"
    if (found := _HALF.search(text)) is not None:
        return f"has {ascii(found[0])[1:-1]}, which is half of a letter; write the whole one"
    return ""


def unfit_line(text: str) -> str:
    """Why a text can't be a name; empty where it can."""
    if problem := unfit_text(text):
        return problem
    if len(text.splitlines()) > 1 or "\n" in text or "\r" in text:
        return "must be one line"
    if len(text.encode()) > limits.PATH_BYTES:
        return f"has {len(text.encode()):,} bytes; the most are {limits.PATH_BYTES:,}"
    return ""


def unfit_path(text: str) -> str:
    """Why a text can't be a path, wherever it leads; empty where it can."""
    if problem := unfit_line(text):
        return problem
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        return f"begins with the home folder of a user that is not there: {Path(text).parts[0]}"
    if long := next((part for part in path.parts if len(part.encode()) > limits.NAME_BYTES), None):
        return f"has a name of {len(long.encode())} bytes; file systems hold {limits.NAME_BYTES}: {long[:40]}..."
    return ""


def odd_kind(mode: int) -> str:
    """What is no ordinary file, by its mode as `os.stat` tells it: "a pipe"; empty for an ordinary file."""
    if stat.S_ISREG(mode):
        return ""
    return next((name for is_kind, name in _KINDS.items() if is_kind(mode)), "something else")


def is_file(path: Path) -> bool:
    """Whether a regular file is there; a name that no file system could hold is none."""
    return os.path.isfile(path)


def is_folder(path: Path) -> bool:
    """Whether a folder is there; a name that no file system could hold is none."""
    return os.path.isdir(path)
