"""Text files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fusionkit.errors import FusionError


def write_whole(path: Path, text: str) -> Path:
    """Write a text file so that it is there whole, or as it was before, whatever happens meanwhile.

    Args:
        path: The file; its folder is made. An existing file is replaced.
        text: Its content.

    Raises:
        FusionError: It can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            # mkstemp makes files that only their owner can read.
            os.chmod(temporary, 0o666 & ~umask())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FusionError(f"'{path}' can't be written: {error.strerror or error}") from error
    return path


def umask() -> int:
    """The permissions that new files of this process don't get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
