"""Files that are written whole or not at all, also where the process is killed or the power goes."""

from __future__ import annotations

import os
import re
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fusionkit.errors import FusionError
from fusionkit.pictures.names import existing as existing
from fusionkit.pictures.names import name_problem, numbered

_TEMPORARY = re.compile(r"\.fusionkit-\d+-[0-9a-f]{16}\.part")
_DAY = 24 * 3600
# Those of this process: on a network's file systems a lock may be the process', which could take it twice.
_being_written: set[str] = set()


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file so that it is there whole, or as it was before, whatever happens meanwhile.

    Args:
        path: The file; its folder is made. An existing file is replaced.
        content: Text is written as UTF-8.

    Raises:
        FusionError: It can't be written.
    """
    data = content.encode() if isinstance(content, str) else content
    return write_file(path, lambda file: file.write(data), replace=True)


def write_file(path: Path, write: Callable[[BinaryIO], object], *, replace: bool) -> Path:
    """Write a file under a temporary name, and give it its own when it is whole and on the disk.

    Args:
        path: The file; its folder is made.
        write: Writes its content.
        replace: Replace an existing file; otherwise a number is added to the new one's name. Of two that write at the
            same time, each gets a name of its own.

    Returns:
        Where the file is.

    Raises:
        FusionError: It can't be written. Nothing of it is left then.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(path.parent)
        with _temporary(path.parent) as (temporary, file):
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":
                file.close()  # an open file can't be renamed there
            target = path
            if replace:
                os.replace(temporary, path)
            else:
                target = next(each for each in numbered(path) if _claim(temporary, each))
        _sync_folder(path.parent)
        return target
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or name_problem(path) or error
        raise FusionError(f"'{path}' can't be written: {reason}") from error


def clear_leftovers(folder: Path) -> None:
    """Delete the temporary files of this module that killed processes left in a folder, and nothing else."""
    with suppress(OSError), os.scandir(folder) as entries:
        for each in entries:
            ours = _TEMPORARY.fullmatch(each.name) and each.name not in _being_written
            if ours and each.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _clear(Path(each.path))


@contextmanager
def _temporary(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file, locked as long as it is open, which tells others that its process lives; in the end it is gone."""
    while True:
        path = folder / f".fusionkit-{os.getpid()}-{secrets.token_hex(8)}.part"
        _being_written.add(path.name)
        try:
            # Made so, and not by tempfile, it gets the permissions that any other file gets.
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
            with os.fdopen(handle, "r+b") as file:
                _lock(handle, wait=True)
                # Somebody who clears up may have found it before it was locked.
                if path.exists():
                    yield path, file
                    return
        finally:
            with suppress(OSError):
                path.unlink()
            _being_written.discard(path.name)


def _lock(handle: int, wait: bool = False) -> bool:
    """Lock a file; whether that went. It ends with the process, however that ends, and binds no one but us."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # somebody has it, or the file system knows no locks
        return False
    return True


def _clear(path: Path) -> None:
    if sys.platform == "win32":
        # Nobody can delete an open file there, but one waits a moment for its name with no one having it open.
        if time.time() - path.stat().st_mtime > _DAY:
            path.unlink()
        return
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if _lock(handle):
            path.unlink()
    finally:
        os.close(handle)


def _claim(temporary: Path, target: Path) -> bool:
    """Give a whole file its name if nobody has that, in one step; whether it got it."""
    try:
        if sys.platform == "win32":
            temporary.rename(target)  # refuses to replace a file there
        else:
            os.link(temporary, target)
        return True
    except FileExistsError:
        return False
    except OSError:
        if os.path.lexists(target):
            return False
    # There are file systems without links, such as FAT: the name is taken first, and is empty for a moment.
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return False
    try:
        os.replace(temporary, target)
    except OSError:
        target.unlink(missing_ok=True)
        raise
    return True


def _sync_folder(folder: Path) -> None:
    """Bring a new name to the disk; where folders can't be opened, the system does that in its own time."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def unwritable(path: Path, overwrite: bool) -> str:
    """Why a file could not be written, in one line; empty where it can.

    Args:
        path: The file.
        overwrite: Whether it may be there already.
    """
    if problem := name_problem(path):
        return f"'{path}' {problem}"
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


def in_bytes(number: float) -> str:
    """A number of bytes as people write it: 3.2 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
