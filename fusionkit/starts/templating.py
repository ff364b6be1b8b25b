"""The templates of this room, which are files of the package: `templates/`, read by Jinja."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

SUFFIX = ".jinja"
FOLDER = "templates"


@cache
def environment() -> Environment:
    """Templates in which nothing may be forgotten. What they make is code and text, so nothing is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(__package__, FOLDER),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def templates_in(folder: str) -> list[str]:
    """The templates of a folder and its folders: their names from there, without `.jinja`, sorted; nothing is read."""
    top = files(__package__) / FOLDER / folder
    found = []
    waiting = [("", top)]
    while waiting:
        path, here = waiting.pop()
        for each in here.iterdir():
            if each.is_dir():
                waiting.append((f"{path}{each.name}/", each))
            elif each.name.endswith(SUFFIX):
                found.append(f"{path}{each.name.removesuffix(SUFFIX)}")
    return sorted(found)
