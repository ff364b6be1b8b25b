"""What is installed, and what of it does not fit. Nothing of the libraries that it judges is imported."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec


def unfit_pairs(*names: str) -> list[str]:
    """What of the installed packages does not fit, one line each.

    Args:
        names: Only what concerns one of these packages, such as `peft`; without any, all of it.
    """
    from fusionkit.doctor.packages import unfit

    return [found.text for found in unfit() if not names or found.names & set(names)]


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


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a parent that can't be imported; a module that stands there half-made
        return False


def unfit_hint(*names: str) -> str:
    """The end of an error that packages which do not fit may have caused: `; transformers 5 wants peft>=1, ...`.

    Args:
        names: The packages that the failed work needed.

    Returns:
        An empty string where all of it fits, or where that can't be told.
    """
    try:
        lines = unfit_pairs(*names)
    except Exception:  # noqa: BLE001 - it explains another error, which it must not hide
        return ""
    return f"; {'; '.join(lines)}: see 'fusionkit doctor'" if lines else ""
