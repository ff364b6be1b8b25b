"""What the contract reads in a plugin's source, since the class itself no longer tells it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator

from pydantic import BaseModel

from fusionkit.plugin import Plugin


def unnamed_defaults(plugin: type[Plugin]) -> Iterator[tuple[str, str]]:
    """Class and option for each option whose default stands first in `Field(...)`, without its name.

    Where a class has no source, nothing is found.

    Args:
        plugin: Its own options are looked at, those that it inherits, and those that its options are made of.
    """
    for kind in _models_of(plugin):
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        except (OSError, TypeError, ValueError, SyntaxError):
            continue
        for each in getattr(tree, "body", ()):
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and _is_unnamed(each.value):
                yield kind.__name__, each.target.id


def _models_of(kind: type[BaseModel]) -> list[type[BaseModel]]:
    """A class, those that it inherits from, and all that the types of its options name, each once."""
    found: list[type[BaseModel]] = []
    todo: list[object] = [kind]
    while todo:
        each = todo.pop()
        todo += getattr(each, "__args__", ())
        if isinstance(each, type) and issubclass(each, BaseModel) and each not in (*found, Plugin, BaseModel):
            found.append(each)
            todo += each.__bases__
            todo += (field.annotation for field in each.model_fields.values())
    return found


def _is_unnamed(value: ast.expr | None) -> bool:
    if not isinstance(value, ast.Call) or not value.args:
        return False
    name = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
    first = value.args[0]
    return name == "Field" and not (isinstance(first, ast.Constant) and first.value is ...)
