"""Which presets the installed packages offer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fusionkit.errors import did_you_mean
from fusionkit.recipe.problems import shown
from fusionkit.registry import tables

GROUP = "fusionkit.presets"
"""The entry point group of presets: each entry point is a mapping from names to paths of YAML files."""


def presets() -> dict[str, Path]:
    """The files of all presets that the installed packages offer, by name."""
    return {name: Path(each) for name, each in sorted(tables(GROUP)[0].items())}


def known_preset(name: str) -> str:
    """The name of a preset that there is.

    Raises:
        ValueError: There is none, or several packages offer it.
    """
    found, refused, broken = tables(GROUP)
    if name in found:
        return name
    if name in refused:
        raise ValueError(f"is '{name}', which {refused[name]}")
    hint = did_you_mean(name, found) or f"; there {_are(sorted(found))}"
    raise ValueError(f"is {shown(name)}, and there is no such preset{hint}{''.join(f' ({line})' for line in broken)}")


def _are(names: Sequence[str]) -> str:
    return f"are {', '.join(names)}" if names else "is none"
