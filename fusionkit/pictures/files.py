"""Files that are written whole or not at all, also where the process is killed or the power goes."""

from __future__ import annotations

import errno
import filecmp
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
from fusionkit.pictures.names import leads_nowhere, name_problem, numbered
from fusionkit.recipe.texts import odd_kind

_TEMPORARY = re.compile(r"\.fusionkit-\d+-[0-9a-f]{16}\.part")
_DAY = 24 * 3600
_TRIES = 3
# Those of this process: on a network's file systems a lock may be the process', which could take it twice.
_being_written: set[str] = set()


def write_whole(path: Path, content: str | bytes, *, replace: bool = True) -> Path:
    """Write a file so that it is there whole, or as it was before, whatever happens meanwhile.

    Args:
        path: The file; its folder is made.
        content: Text is written as UTF-8.
        replace: As for `write_file`.

    Returns:
        Where the file is.

    Raises:
        FusionError: It can't be written.
    """
    data = content.encode() if isinstance(content, str) else content
    return write_file(path, lambda file: file.write(data), replace=replace)


def write_file(
    path: Path,
    write: Callable[[BinaryIO], object],
    *,
    replace: bool,
    once: bool = False,
    before: Callable[[Path], object] | None = None,
) -> Path:
    """Write a file under a temporary name, and give it its own when it is whole and on the disk.

    Args:
        path: The file; its folder is made, again where it vanishes meanwhile.
        write: Writes its content; called again where its folder vanished.
        replace: Replace an existing file; otherwise a number is added to the new one's name. Of two that write at the
            same time, each gets a name of its own.
        once: An existing file that holds the same, byte for byte, is taken for the new one.
        before: Called with the whole file, under its temporary name, before it gets its own.

    Returns:
        Where the file is.

    Raises:
        FusionError: It can't be written. Nothing of it is left then.
    """
    for attempt in range(_TRIES):
        try:
            return _written(path, write, replace=replace, once=once, before=before)
        except (OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError) and attempt < _TRIES - 1:
                continue  # somebody deleted the folder
            reason = _why_not(path) or getattr(error, "strerror", None) or error
            raise FusionError(f"'{path}' can't be written: {reason}") from error
    raise AssertionError("the last attempt returns or raises")


def _why_not(path: Path) -> str:
    """Why nothing can be written at a path, as a line goes on, where that shows from its name and its folder."""
    if problem := name_problem(path):
        return problem
    folder = existing(path.parent)
    return leads_nowhere(path.parent) or ("" if folder.is_dir() else f"'{folder}' is a file, not a folder")


def _written(
    path: Path,
    write: Callable[[BinaryIO], object],
    *,
    replace: bool,
    once: bool,
    before: Callable[[Path], object] | None,
) -> Path:
    _make_folder(path.parent)
    clear_leftovers(path.parent)
    with _temporary(path.parent) as (temporary, file):
        write(file)
        file.flush()
        _sync(file.fileno())
        if before is not None:
            before(temporary)
        if sys.platform == "win32":
            file.close()  # an open file can't be renamed there
        if replace:
            _refuse_other_kinds(path)
            os.replace(temporary, path)
            target = path
        else:
            target = next(
                each for each in numbered(path) if _claim(temporary, each) or (once and _same(temporary, each))
            )
    _sync_folder(path.parent)
    return target


def _make_folder(folder: Path) -> None:
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in reversed(new):
        _sync_folder(each.parent)


def _refuse_other_kinds(path: Path) -> None:
    """Replacing a device or a pipe would break what it is for."""
    if problem := _other_kind(path):
        raise ValueError(problem)


def _other_kind(path: Path) -> str:
    with suppress(OSError):
        if kind := odd_kind(path.stat().st_mode):
            return f"it is {kind}"
    return ""


def _same(temporary: Path, target: Path) -> bool:
    with suppress(OSError):
        return target.is_file() and filecmp.cmp(temporary, target, shallow=False)
    return False


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


def _lock(handle: int, wait: bool = False) -> bool | None:
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
            if dead := _lock(handle):
                path.unlink()
        finally:
            os.close(handle)
    if dead is None and time.time() - path.stat().st_mtime > _DAY:
        path.unlink()


def _claim(temporary: Path, target: Path) -> bool:
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
        if _lock(folder, wait=True):
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


def _sync(handle: int) -> None:
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
    if problem := _other_kind(path):
        return f"'{path}' can't be written: {problem}"
    if path.exists() and not overwrite:
        return f"'{path}' exists; give another file, or --overwrite"
    if problem := folder_problem(path.parent):
        return f"'{path}' can't be written: {problem}"
    return ""


def folder_problem(folder: Path) -> str:
    """Why nothing could be written into a folder, which need not be there yet; empty where it can."""
    if problem := leads_nowhere(folder):
        return problem
    there = existing(folder)
    if not there.is_dir():
        return f"'{there}' is a file"
    try:
        # Permissions alone do not tell: a read-only mount, or a full quota, shows when something is written.
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return f"'{there}' is not writable: {error.strerror or error}"
    return ""


def in_bytes(number: float) -> str:
    """A number of bytes as people write it: 3.2 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
