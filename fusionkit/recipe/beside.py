"""The folders of the recipe that is being read, and of those that it extends, beside which lie the files they name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from fusionkit.recipe.nodes import Node
from fusionkit.trust import refusal

_folder: ContextVar[Path | None] = ContextVar("recipe folder", default=None)
_elsewhere: ContextVar[Mapping[str, Path] | None] = ContextVar("folders of extended recipes", default=None)


@contextmanager
def pictures_beside(folder: Path) -> Iterator[None]:
    """While a recipe is read: pictures that are not in the working folder are looked for in `folder`, the recipe's."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


@contextmanager
def written_elsewhere(folders: Mapping[str, Path]) -> Iterator[None]:
    """While values are read of which some were written in recipes that this one extends: their texts, and where."""
    token = _elsewhere.set(folders)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def recipe_folders(value: str = "") -> list[Path]:
    """Where what a value names may lie: beside the recipe in which it was written, and beside the one that is read.

    None while no recipe is read.
    """
    return [folder for folder in ((_elsewhere.get() or {}).get(value), _folder.get()) if folder is not None]


def looked_for(path: Path, folders: Iterable[Path]) -> Path:
    """A path as it stands, where something is there or may not be opened; else in the first folder that has it."""
    # Unlike `Path.exists`, these answer for names that no file can have.
    if refusal(path) or os.path.exists(path):
        return path
    return next((folder / path for folder in folders if os.path.exists(folder / path)), path)


def by_their_places(node: Node, source: str) -> tuple[Any, dict[str, Path]]:
    """An entry's value, and texts that were written in recipes that this one extends, with the folder of each.

    A text that stands in several recipes may name a file beside each of them: it becomes the path of its own.
    """
    folders: dict[str, set[Path | None]] = {}
    for each in node.scalars():
        if isinstance(each.value, str):
            folders.setdefault(str(Path(each.value)), set()).add(_folder_of(each, source))

    def plain(each: Node) -> Any:
        if isinstance(each.value, dict):
            return {name: plain(inner) for name, inner in each.value.items()}
        if isinstance(each.value, list):
            return [plain(inner) for inner in each.value]
        folder = _folder_of(each, source) if isinstance(each.value, str) else None
        if folder is None or len(folders[str(Path(each.value))]) == 1:
            return each.value
        path = Path(each.value)
        return each.value if (found := looked_for(path, [folder])) == path else str(found)

    one = {text: next(iter(found)) for text, found in folders.items() if len(found) == 1}
    return plain(node), {text: folder for text, folder in one.items() if folder is not None}


def _folder_of(text: Node, source: str) -> Path | None:
    """The folder of the recipe in which a text was written, where that is another one than what is read."""
    return Path(text.place.source).parent if text.place.line and text.place.source != source else None
