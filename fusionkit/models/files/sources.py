"""The arguments and fields of the libraries' classes with their annotations, by their source: nothing is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Arguments = Mapping[str, tuple[str, Any]]
"""Each argument's annotation as it is written, empty where there is none, and its default, None for no literal."""


@lru_cache
def arguments_of(files: str, name: str) -> Mapping[str, Arguments]:
    """The arguments of a class' `__init__` and `step`, as far as it has them; nothing where the class can't be found.

    Args:
        files: Where to look, as a pattern of paths inside diffusers.
        name: The class' name.
    """
    body = _body("diffusers", files, name)
    functions = [each for each in body if isinstance(each, ast.FunctionDef)]
    return {each.name: _arguments(each) for each in functions if each.name in ("__init__", "step")}


@lru_cache
def fields_of(files: str, name: str) -> Arguments:
    """The fields of a configuration's class in transformers; nothing where the class can't be found or has none.

    Args:
        files: Where to look, as a pattern of paths inside transformers.
        name: The class' name.
    """
    return {
        each.target.id: (ast.unparse(each.annotation), _value(each.value))
        for each in _body("transformers", files, name)
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }


@lru_cache
def classes_in(package: str, file: str) -> tuple[str, ...]:
    """The names of the classes of a library's file; nothing where it is not there."""
    return tuple(re.findall(r"^class (\w+)\b", "".join(_texts(package, file)), re.MULTILINE))


@lru_cache
def keys_in(package: str, file: str, name: str) -> tuple[str, ...]:
    """The keys of a mapping that a library's file gives a name, as they are written there; nothing where it is not."""
    found = (re.search(rf"^{name}\b[^{{]*{{(.*?)^}}", text, re.MULTILINE | re.DOTALL) for text in _texts(package, file))
    return tuple(key for each in found if each for key in re.findall(r'^    "(\w+)":', each[1], re.MULTILINE))


@lru_cache
def bases_of(files: str, name: str) -> tuple[str, ...]:
    """The classes that a class of diffusers is made of, as its file names them; nothing where it can't be found.

    Args:
        files: Where to look, as a pattern of paths inside diffusers.
        name: The class' name.
    """
    found = (
        re.search(rf"^class {name}\((.*?)\):", text, re.MULTILINE | re.DOTALL) for text in _texts("diffusers", files)
    )
    return tuple(base for each in found if each for base in re.findall(r"\w+", each[1]))


@lru_cache
def beside(files: str, name: str) -> tuple[str, ...]:
    """All classes of the file in which a class of diffusers is; nothing where it can't be found."""
    texts = (text for text in _texts("diffusers", files) if re.search(rf"^class {name}\b", text, re.MULTILINE))
    return tuple(each for text in texts for each in re.findall(r"^class (\w+)\b", text, re.MULTILINE))


@lru_cache
def written_in(file: str, pattern: str) -> tuple[str, ...]:
    """What a pattern finds in a file of diffusers."""
    return tuple(each for text in _texts("diffusers", file) for each in re.findall(pattern, text))


def _texts(package: str, file: str) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in _files(package, file)]


def _body(package: str, files: str, name: str) -> list[ast.stmt]:
    for path in _files(package, files):
        source = path.read_text(encoding="utf-8")
        if f"class {name}(" not in source:
            continue
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return node.body
    return []


@lru_cache
def _files(package: str, pattern: str) -> tuple[Path, ...]:
    found = find_spec(package)
    folders = found.submodule_search_locations if found is not None else None
    return tuple(sorted(Path(next(iter(folders))).glob(pattern))) if folders else ()


def _arguments(function: ast.FunctionDef) -> dict[str, tuple[str, Any]]:
    arguments = function.args.args
    defaults = [None] * (len(arguments) - len(function.args.defaults)) + list(function.args.defaults)
    return {
        argument.arg: (ast.unparse(argument.annotation) if argument.annotation else "", _value(default))
        for argument, default in zip(arguments, defaults, strict=True)
        if argument.arg != "self"
    }


def _value(node: ast.expr | None) -> Any:
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None


def fits(value: Any, annotation: str, default: Any, *, exact: bool = False) -> bool:
    """Whether a value of a JSON file is of a type that an annotation names.

    Args:
        value: The value.
        annotation: Such as `int | tuple[int, ...] | None`; an empty one takes all.
        default: What is taken without a value; where that is None, nothing will do.
        exact: Whether the library compares the types itself: then 1 is no float, and null must be named.
    """
    # Published configurations say null, or a number, for what is true or false.
    loose = not exact and (
        (value is None and (default is None or annotation == "bool"))
        or (annotation == "bool" and type(value) is int and value in (0, 1))
    )
    if not annotation or loose or (value is None and "None" in annotation):
        return True
    if isinstance(value, list):
        listed = any(word in annotation.lower() for word in ("tuple", "list", "ndarray"))
        # What is in a list is not always said.
        return listed and ("[" not in annotation or all(fits(each, annotation, default, exact=exact) for each in value))
    if exact and type(value) is int:
        return "int" in annotation
    for kind, words in _WORDS.items():
        if isinstance(value, kind):
            return any(word in annotation for word in words)
    return False


# In this order, as true and false count as numbers in Python.
_WORDS: Mapping[type, tuple[str, ...]] = {
    bool: ("bool",),
    int: ("int", "float"),
    float: ("float",),
    str: ("str", "Literal"),
    dict: ("dict", "Dict"),
}
