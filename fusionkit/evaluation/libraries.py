"""Libraries that only some scores are computed with, and what to install where one is missing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from fusionkit.errors import ModelError


def missing(libraries: Mapping[str, str]) -> list[str]:
    """One line for each thing to install, naming the modules that it brings; nothing is imported.

    Args:
        libraries: What `pip install` needs, by the module that is imported: `{"sklearn": "fusionkit[metrics]"}`.
    """
    lacking: dict[str, list[str]] = {}
    for module, install in libraries.items():
        if not _found(module):
            lacking.setdefault(install, []).append(module)
    return [
        f"needs {' and '.join(modules)}, which {'is' if len(modules) == 1 else 'are'} not installed: "
        f"pip install '{install}'"
        for install, modules in lacking.items()
    ]


def require(what: str, libraries: Mapping[str, str]) -> None:
    """Raise where a library is missing that something needs, before it is imported.

    Raises:
        ModelError: One is: what needs it, and what to install.
    """
    if lines := missing(libraries):
        raise ModelError("\n".join(f"{what} {line}" for line in lines))


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a parent that can't be imported; a module that stands there half-made
        return False
