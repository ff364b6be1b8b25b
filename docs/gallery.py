"""Which bundled recipes draw which picture of the documentation, as the scripts that make the pictures say.

Nothing is drawn for it: the scripts are read, as the functions of `make_pictures.py` call each other and `run`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
RECIPES = ROOT / "recipes"
OWN = ("sheets",)
"""What every picture is made of, and no picture's own."""


@cache
def functions() -> Mapping[str, ast.FunctionDef]:
    """Every function of the scripts in `drawn/`, by name."""
    found: dict[str, ast.FunctionDef] = {}
    for path in sorted((DOCS / "drawn").glob("*.py")):
        if path.stem not in OWN:
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef):
                    found[node.name] = node
    return found


@cache
def first_recipe() -> str:
    """The recipe of a `run` that names none."""
    text = (DOCS / "drawn" / "sheets.py").read_text(encoding="utf-8")
    found = re.search(r'^RECIPE = "(.+)"$', text, re.MULTILINE)
    assert found is not None
    return found[1]


@cache
def embedded() -> frozenset[str]:
    """The bundled recipes that need no download, as all that the documentation's pictures are drawn by."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in RECIPES.glob("*.yaml")}
    worlds = re.compile(r"\b(vista|tinyworld)(/|$)")
    return frozenset(name for name, text in texts.items() if worlds.search(name) or worlds.search(text))


def drawn_by(function: ast.AST, seen: tuple[str, ...] = ()) -> Iterator[str]:
    """The recipes that a function runs, and those that it calls, in the order of the text."""
    for node in ast.walk(function):
        if isinstance(node, ast.Constant) and node.value in embedded():
            yield str(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            if name == "run" and len(node.args) == 1:
                yield first_recipe()
            elif name in functions() and name not in seen:
                yield from drawn_by(functions()[name], (*seen, name))


def pictures() -> dict[str, list[str]]:
    """The pictures of `make_pictures.py` by name, each with the recipes that draw it; those of none are left out."""
    made = next(
        node.value
        for node in ast.parse((DOCS / "make_pictures.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "PICTURES"
    )
    assert isinstance(made, ast.Dict)
    found = {"hero": [first_recipe()], **{name: [first_recipe()] for name in rows()}}
    for key, value in zip(made.keys, made.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(value, ast.Name):
            found[str(key.value)] = list(dict.fromkeys(drawn_by(functions()[value.id])))
    return {name: recipes for name, recipes in sorted(found.items()) if recipes}


def rows() -> list[str]:
    """The pictures whose rows are all of one recipe."""
    for node in ast.parse((DOCS / "drawn" / "panoramas.py").read_text(encoding="utf-8")).body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == "ROWS" and isinstance(node.value, ast.Dict):  # type: ignore[union-attr]
            return [str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)]  # type: ignore[union-attr]
    raise AssertionError("docs/drawn/panoramas.py has no ROWS")
