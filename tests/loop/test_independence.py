"""The core knows no method: it imports nothing from the plugins, and names none of them."""

from __future__ import annotations

import ast
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import fusionkit

CORE = sorted(Path(fusionkit.__file__).parent.rglob("*.py"))
PLUGINS = sorted(path.name for path in (Path(fusionkit.__file__).parents[1] / "plugins").iterdir() if path.is_dir())


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it, by statement or by name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "import_module":
            found.update(arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))
    return {name.partition(".")[0] for name in found}


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_the_core_imports_no_plugin(path: Path) -> None:
    assert PLUGINS
    assert not imported(path) & set(PLUGINS)


def test_the_loop_names_no_method() -> None:
    # A ring is a shape of the canvas, which the plugin of that name asks for.
    methods = {entry.name for entry in entry_points(group="fusionkit.plugins")} - {"ring"}
    # What a model can do is told beside the loop, which asks it for no more than `predict`, `encode` and `decode`.
    loop = sorted(path for path in (Path(fusionkit.__file__).parent / "loop").glob("*.py") if path.name != "model.py")
    assert "denoise.py" in {path.name for path in loop}
    for path in loop:
        text = path.read_text().lower()
        named = {method for method in methods if method in text or method.replace("-", "_") in text}
        assert not named, f"{path.name} names {named}"
