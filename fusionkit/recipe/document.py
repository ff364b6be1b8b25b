"""YAML with places: read from files and texts, and written."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from stat import S_ISREG
from typing import Any

from fusionkit.errors import RecipeError
from fusionkit.recipe import limits
from fusionkit.recipe.nodes import Node, Place
from fusionkit.recipe.yaml_tree import TreeReader


def read_yaml(path: Path, name: str) -> Node:
    """A file as a tree of nodes.

    Args:
        path: The file.
        name: What errors call it.

    Raises:
        RecipeError: It can't be read, is not UTF-8, is not YAML, or is larger than a recipe may be.
    """
    return parse_yaml(read_text(path, name), name)


def read_text(path: Path, name: str) -> str:
    """The text of a regular file in UTF-8, of at most `limits.FILE_BYTES`.

    Args:
        path: The file.
        name: What errors call it.

    Raises:
        RecipeError: It can't be read, or is anything else.
    """
    try:
        if not S_ISREG(path.stat().st_mode):
            raise RecipeError([f"{name}: is no regular file"])
        with path.open("rb") as file:
            raw = file.read(limits.FILE_BYTES + 1)
    except OSError as error:
        raise RecipeError([f"{name}: can't be read: {error.strerror or error}"]) from error
    return as_text(raw, name)


def as_text(raw: bytes, name: str) -> str:
    """The bytes of a file in UTF-8, of which one more was read than there may be, as text.

    Raises:
        RecipeError: They are too many, or no UTF-8; `name` is what errors call the file.
    """
    if len(raw) > limits.FILE_BYTES:
        raise RecipeError([f"{name}: is larger than {limits.FILE_BYTES:,} bytes"])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        lines = raw[: error.start].split(b"\n")
        place = Place(name, len(lines), len(lines[-1].decode("utf-8", "replace")) + 1)
        hint = "; save it as UTF-8" if raw[:2] not in (b"\xff\xfe", b"\xfe\xff") else "; it looks like UTF-16"
        raise RecipeError([f"{place}: not UTF-8: byte 0x{raw[error.start]:02x}{hint}"]) from None


def parse_yaml(text: str, name: str, fixed: Place | None = None) -> Node:
    """A text as a tree of nodes.

    Args:
        text: YAML 1.2.
        name: What errors call it.
        fixed: A place for all nodes, instead of line and column.

    Raises:
        RecipeError: It is not YAML, or holds what a recipe can't.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    def at(mark: Any) -> Place:
        return fixed or Place(name, mark.line + 1, mark.column + 1)

    if len(text) > limits.FILE_BYTES:
        raise RecipeError([f"{fixed or name}: is larger than {limits.FILE_BYTES:,} letters"])
    try:
        root = TreeReader(YAML(typ="safe", pure=True), at).read(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        place = at(mark) if mark is not None else _reader_place(error, text, name, fixed)
        raise RecipeError([f"{place}: {_complaint(error)}"]) from None
    except (ValueError, LookupError, ArithmeticError) as error:  # what ruamel makes of odd escapes and directives
        raise RecipeError([f"{fixed or name}: not YAML: {' '.join(str(error).split())}"]) from None
    start = fixed or Place(name, 1, 1)
    return Node(None, start, start) if root is None else root


def dump_yaml(value: Any) -> str:
    """A plain value as YAML, in block style, keys in their order."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt", pure=True)
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def _complaint(error: Any) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    return " ".join(f"not YAML: {f'{context}, ' if context else ''}{problem}".split())


def _reader_place(error: Any, text: str, name: str, fixed: Place | None) -> Place:
    position = getattr(error, "position", None)
    if fixed is not None or position is None:
        return fixed or Place(name)
    before = text[: int(position)].split("\n")
    return Place(name, len(before), len(before[-1]) + 1)
