"""A file with a folder beside it, both of which are there whole, or neither."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fusionkit.errors import FusionError
from fusionkit.pictures.claiming import claim, clear_leftovers, sync, sync_folder, temporary_file
from fusionkit.pictures.claiming import folder_of as folder_of
from fusionkit.pictures.names import numbered


def write_with_folder(
    path: Path,
    text: str,
    fill: Callable[[Path], object],
    *,
    beside: Callable[[Path], Path],
    replace: bool,
) -> Path:
    """Write a small file, and a folder beside it; the file, which says that the folder is whole, comes last.

    Args:
        path: The file; its folder is made.
        text: What it holds, as UTF-8.
        fill: Fills the folder, which has a temporary name.
        beside: The folder's name, by the file's.
        replace: Replace both where they are there; otherwise a number is added to the new names. While they are
            replaced there is a moment without the file.

    Returns:
        Where the file is.

    Raises:
        FusionError: They can't be written. Nothing of them is left then.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(path.parent)
        with temporary_file(path.parent) as (temporary, file):
            folder = folder_of(temporary)
            try:
                folder.mkdir()
                fill(folder)
                file.write(text.encode())
                file.flush()
                sync(file.fileno())
                target = _replaced(path, folder, beside) if replace else _placed(path, temporary, folder, beside)
                if replace:
                    os.replace(temporary, target)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        sync_folder(path.parent)
    except OSError as error:
        raise FusionError(f"'{path}' can't be written: {error.strerror or error}") from error
    return target


def _placed(path: Path, temporary: Path, folder: Path, beside: Callable[[Path], Path]) -> Path:
    for each in numbered(path):
        into = beside(each)
        if os.path.lexists(each) or os.path.lexists(into):
            continue
        try:
            os.rename(folder, into)
        except OSError:
            if not os.path.lexists(into):
                raise
            continue  # somebody was quicker
        if claim(temporary, each):
            return each
        os.rename(into, folder)
    raise AssertionError("there is a number for each")


def _replaced(path: Path, folder: Path, beside: Callable[[Path], Path]) -> Path:
    into, old = beside(path), folder.with_name(folder.name + ".old")
    with suppress(FileNotFoundError):
        path.unlink()
    with suppress(FileNotFoundError):
        os.rename(into, old)
    os.rename(folder, into)
    shutil.rmtree(old, ignore_errors=True)
    return path
