"""Files that are written whole or not at all, also where the process is killed or the power goes."""

from __future__ import annotations

import filecmp
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from fusionkit.errors import FusionError
from fusionkit.pictures.claiming import claim, sync, sync_folder, temporary_file
from fusionkit.pictures.claiming import clear_leftovers as clear_leftovers
from fusionkit.pictures.names import existing as existing
from fusionkit.pictures.names import leads_nowhere, name_problem, numbered
from fusionkit.recipe.texts import odd_kind

_TRIES = 3


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
    with temporary_file(path.parent) as (temporary, file):
        write(file)
        file.flush()
        sync(file.fileno())
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
                each for each in numbered(path) if claim(temporary, each) or (once and _same(temporary, each))
            )
    sync_folder(path.parent)
    return target


def _make_folder(folder: Path) -> None:
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in reversed(new):
        sync_folder(each.parent)


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
