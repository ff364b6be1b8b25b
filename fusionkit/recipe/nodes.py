"""A document with places: every key and value knows its file, line and column, also after files were put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where something was written: a file with line and column, counted from 1, or an option of the command line."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass
class Node:
    """A value of a document: a mapping of nodes, a list of nodes, or a scalar.

    Args:
        value: `dict[str, Node]`, `list[Node]`, or a plain Python value.
        place: Where the value is.
        key: Where its key is; the value's place for an item of a list.
    """

    value: Any
    place: Place
    key: Place

    @classmethod
    def of(cls, value: Any, place: Place) -> Node:
        """A plain value, of which all was said in one place."""
        if isinstance(value, dict):
            value = {name: cls.of(each, place) for name, each in value.items()}
        elif isinstance(value, list):
            value = [cls.of(each, place) for each in value]
        return cls(value, place, place)

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def scalars(self) -> list[Node]:
        """The scalars in it, first to last; itself where it is one."""
        if isinstance(self.value, dict):
            return [scalar for inner in self.value.values() for scalar in inner.scalars()]
        if isinstance(self.value, list):
            return [scalar for inner in self.value for scalar in inner.scalars()]
        return [self]

    def find(self, location: tuple[int | str, ...]) -> Node:
        """The node at a location, or the nearest one above it."""
        inner: Node | None = None
        if location and isinstance(self.value, dict):
            inner = self.value.get(location[0])
        elif location and isinstance(self.value, list) and isinstance(location[0], int):
            inner = self.value[location[0]] if location[0] < len(self.value) else None
        return self if inner is None else inner.find(location[1:])
