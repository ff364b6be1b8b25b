"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fusionkit.errors import FusionError


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file so that it is there whole, or as it was before, whatever happens meanwhile.

    Args:
        path: The file; its folder is made. An existing file is replaced.
        content: Text is written as UTF-8.

    Raises:
        FusionError: It can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
            # mkstemp makes files that only their owner can read.
            os.chmod(temporary, 0o666 & ~umask())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FusionError(f"'{path}' can't be written: {error.strerror or error}") from error
    return path


def unwritable(path: Path, overwrite: bool) -> str:
    """Why a file could not be written, in one line; empty where it can.

    Args:
        path: The file.
        overwrite: Whether it may be there already.
    """
    if path.is_dir():
        return f"'{path}' is a folder; give a file"
    if path.exists() and not overwrite:
        return f"'{path}' exists; give another file, or --overwrite"
    folder = existing(path.parent)
    if not folder.is_dir():
        return f"'{path}' can't be written: '{folder}' is a file"
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return f"'{path}' can't be written: {error.strerror or error}"
    return ""


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next((each for each in (folder, *folder.parents) if each.exists()), Path())


def umask() -> int:
    """The permissions that new files of this process don't get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
