"""The folder of the recipe that is being read, beside which the files lie that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

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


def recipe_folder(value: str = "") -> Path | None:
    """The folder of the recipe that is being read, or of the one in which a value was written; None while none is."""
    return (_elsewhere.get() or {}).get(value) or _folder.get()
