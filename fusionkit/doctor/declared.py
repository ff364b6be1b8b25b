"""What a library wants of others without telling the installer: its own tables and constants, read and not imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

TABLE = "dependency_versions_table.py"
"""Where transformers and diffusers keep `deps = {"peft": "peft>=0.22", ...}`, which they check when it is needed."""
PLACES = ("integrations", "utils")
CONSTANT = re.compile(
    r"^(?:MIN_(?P<first>[A-Z0-9_]+)_VERSION|(?P<last>[A-Z0-9_]+)_MIN_VERSION) *= *[\"'](?P<version>[0-9.]+)[\"']",
    re.MULTILINE,
)
"""`MIN_PEFT_VERSION = "0.22.0"`, or `ACCELERATE_MIN_VERSION = ...`."""


def declared(module: str) -> Iterator[str]:
    """Requirements such as `peft>=0.22.0` that a library has in its own code; nothing where it has none.

    Args:
        module: Its name as it is imported.
    """
    folder = folder_of(module)
    if folder is None:
        return
    yield from _table(folder / TABLE)
    for path in (path for place in PLACES for path in sorted((folder / place).glob("*.py"))):
        for found in CONSTANT.finditer(_text(path)):
            yield f"{found['first'] or found['last']}>={found['version']}".lower()


def folder_of(module: str) -> Path | None:
    """Where a package's modules lie, without importing it; None where there is none."""
    try:
        # Unlike `find_spec`, this looks at what is installed, not at what this process has imported.
        spec = PathFinder.find_spec(module)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    return Path(places[0]) if places else None


def _table(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(_text(path))
    except (SyntaxError, ValueError):
        return
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            values = (value.value for value in node.value.values if isinstance(value, ast.Constant))
            yield from (value for value in values if isinstance(value, str))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
