"""Temporary files that get their names when they are whole, and go when their process is dead."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_TEMPORARY = re.compile(r"\.fusionkit-\d+-[0-9a-f]{16}\.part")
_DAY = 24 * 3600
# Those of this process: on a network's file systems a lock may be the process', which could take it twice.
_being_written: set[str] = set()


def clear_leftovers(folder: Path) -> None:
    """Delete the temporary files of this module that killed processes left in a folder, and nothing else."""
    with suppress(OSError), os.scandir(folder) as entries:
        for each in entries:
            ours = _TEMPORARY.fullmatch(each.name) and each.name not in _being_written
            if ours and each.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _clear(Path(each.path))


def folder_of(temporary: Path) -> Path:
    """The folder that may belong to a temporary file, and goes with it."""
    return temporary.with_name(temporary.name + ".files")


@contextmanager
def temporary_file(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file, locked as long as it is open, which tells others that its process lives; in the end it is gone."""
    while True:
        path = folder / f".fusionkit-{os.getpid()}-{secrets.token_hex(8)}.part"
        _being_written.add(path.name)
        try:
            # Made so, and not by tempfile, it gets the permissions that any other file gets.
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
            with os.fdopen(handle, "r+b") as file:
                lock(handle, wait=True)
                # Somebody who clears up may have found it before it was locked.
                if path.exists():
                    yield path, file
                    return
        finally:
            with suppress(OSError):
                path.unlink()
            _being_written.discard(path.name)


def lock(handle: int, wait: bool = False) -> bool | None:
    """Lock a file or a folder; whether that went, and None where they can't be locked.

    A lock ends with the process, however that ends, and binds no one but us.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:  # somebody has it
        return False
    except OSError:
        return None
    return True


def _clear(path: Path) -> None:
    # Nobody can delete an open file on Windows, but one waits a moment for its name with no one having it open.
    if sys.platform == "win32":
        dead = None
    else:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            if dead := lock(handle):
                _remove(path)
        finally:
            os.close(handle)
    if dead is None and time.time() - path.stat().st_mtime > _DAY:
        _remove(path)


def _remove(path: Path) -> None:
    for each in (folder_of(path), folder_of(path).with_name(folder_of(path).name + ".old")):
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each, ignore_errors=True)
    path.unlink()


def claim(temporary: Path, target: Path) -> bool:
    """Give a whole file its name if nobody has that; whether it got it."""
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
        if not os.path.lexists(temporary):
            raise
    return _claim_without_links(temporary, target)


def _claim_without_links(temporary: Path, target: Path) -> bool:
    """The same on file systems such as exFAT, where one file can't have two names."""
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        if lock(folder, wait=True):
            # No other process of ours is between its look and its claim now.
            if os.path.lexists(target):
                return False
            os.rename(temporary, target)
            return True
    finally:
        os.close(folder)
    # Without locks the name is taken first, and is empty for a moment: that is better than to lose another's file.
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


_CANNOT = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.ENOTTY}


def sync(handle: int) -> None:
    """Bring a file to the disk; where the file system can't be asked to, that is its own affair."""
    try:
        if sys.platform == "darwin":
            import fcntl

            with suppress(OSError):
                fcntl.fcntl(handle, fcntl.F_FULLFSYNC)  # there fsync leaves it in the drive's own memory
                return
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise


def sync_folder(folder: Path) -> None:
    """Bring a new name to the disk; where folders can't be opened, the system does that in its own time."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
