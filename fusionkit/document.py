"""YAML with places: every key and value knows its file, line and column, also after files were put together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import RecipeError

if TYPE_CHECKING:
    from ruamel.yaml import YAML


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

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def find(self, location: tuple[int | str, ...]) -> Node:
        """The node at a location, or the nearest one above it."""
        inner: Node | None = None
        if location and isinstance(self.value, dict):
            inner = self.value.get(location[0])
        elif location and isinstance(self.value, list) and isinstance(location[0], int):
            inner = self.value[location[0]] if location[0] < len(self.value) else None
        return self if inner is None else inner.find(location[1:])


def read_yaml(path: Path, name: str) -> Node:
    """A file as a tree of nodes.

    Args:
        path: The file.
        name: What errors call it.

    Raises:
        RecipeError: It can't be read, is not UTF-8 or is not YAML.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RecipeError([f"{name}: can't be read: {error.strerror or error}"]) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        lines = raw[: error.start].split(b"\n")
        place = Place(name, len(lines), len(lines[-1].decode("utf-8", "replace")) + 1)
        hint = "; save it as UTF-8" if raw[:2] not in (b"\xff\xfe", b"\xfe\xff") else "; it looks like UTF-16"
        raise RecipeError([f"{place}: not UTF-8: byte 0x{raw[error.start]:02x}{hint}"]) from None
    return parse_yaml(text, name)


def parse_yaml(text: str, name: str, fixed: Place | None = None) -> Node:
    """A text as a tree of nodes.

    Args:
        text: YAML 1.2.
        name: What errors call it.
        fixed: A place for all nodes, instead of line and column.

    Raises:
        RecipeError: It is not YAML, or holds what a recipe can't.
    """
    from ruamel.yaml.error import YAMLError

    def at(mark: Any) -> Place:
        return fixed or Place(name, mark.line + 1, mark.column + 1)

    try:
        document = _loader().load(text)
        return _node(document, Place(name, 1, 1) if fixed is None else fixed, None, name, fixed)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        place = at(mark) if mark is not None else _reader_place(error, text, name, fixed)
        raise RecipeError([f"{place}: {_complaint(error)}"]) from None
    except RecursionError:
        raise RecipeError([f"{fixed or name}: is nested too deeply"]) from None
    except ValueError as error:  # such as a date that does not exist
        raise RecipeError([f"{fixed or name}: not YAML: {error}"]) from None


def dump_yaml(value: Any) -> str:
    """A plain value as YAML, in block style, keys in their order."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt", pure=True)
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def _loader() -> YAML:
    from ruamel.yaml import YAML

    return YAML(typ="rt", pure=True)


def _complaint(error: Any) -> str:
    from ruamel.yaml.constructor import DuplicateKeyError

    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    problem = " ".join(problem.split())
    if isinstance(error, DuplicateKeyError):
        # ruamel quotes the key and shows both values; the key is what a reader looks for.
        key = problem.partition('"')[2].partition('"')[0]
        return f"'{key}' is given twice" if key else problem
    context = getattr(error, "context", None)
    return f"not YAML: {f'{context}, ' if context else ''}{problem}"


def _reader_place(error: Any, text: str, name: str, fixed: Place | None) -> Place:
    position = getattr(error, "position", None)
    if fixed is not None or position is None:
        return fixed or Place(name)
    before = text[: int(position)].split("\n")
    return Place(name, len(before), len(before[-1]) + 1)


def _node(value: Any, place: Place, key: Place | None, name: str, fixed: Place | None) -> Node:
    from ruamel.yaml.comments import CommentedBase, CommentedMap, CommentedSeq

    tag = getattr(getattr(value, "tag", None), "value", None)
    if (isinstance(value, CommentedBase) and tag is not None) or type(value).__name__ == "TaggedScalar":
        short = str(tag).replace("tag:yaml.org,2002:", "!!")
        raise RecipeError([f"{place}: tags such as {short} are not allowed in a recipe"])
    if isinstance(value, CommentedMap):
        entries: dict[str, Node] = {}
        for each, key_place, value_place in _entries(value, place, name, fixed):
            entries[str(each)] = _node(value[each], value_place, key_place, name, fixed)
        return Node(entries, place, key or place)
    if isinstance(value, CommentedSeq):
        items = []
        for index, item in enumerate(value):
            spot = fixed or _spot(value.lc.item, index, place, name)
            items.append(_node(item, spot, None, name, fixed))
        return Node(items, place, key or place)
    return Node(_scalar(value), place, key or place)


def _entries(value: Any, place: Place, name: str, fixed: Place | None) -> Iterator[tuple[Any, Place, Place]]:
    for each in value:
        if fixed is not None:
            yield each, fixed, fixed
        else:
            yield each, _spot(value.lc.key, each, place, name), _spot(value.lc.value, each, place, name)


def _spot(ask: Any, each: Any, place: Place, name: str) -> Place:
    try:
        line, column = ask(each)
    except (KeyError, TypeError, AttributeError):  # a key that `<<` merged in has no place of its own
        return place
    return Place(name, line + 1, column + 1)


def _scalar(value: Any) -> Any:
    """Ruamel's scalars keep how they were written; a recipe needs what they mean."""
    for plain in (bool, int, float, str):
        if isinstance(value, plain):
            return plain(value)
    return value
