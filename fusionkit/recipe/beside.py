"""The folder of the recipe that is being read, beside which the files lie that it names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_folder: ContextVar[Path | None] = ContextVar("recipe folder", default=None)


@contextmanager
def pictures_beside(folder: Path) -> Iterator[None]:
    """While a recipe is read: pictures that are not in the working folder are looked for in `folder`, the recipe's."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def recipe_folder() -> Path | None:
    """The folder of the recipe that is being read; None while none is."""
    return _folder.get()
