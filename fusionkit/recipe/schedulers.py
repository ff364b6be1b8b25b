"""The schedulers that a recipe may name, as the installed packages offer them; none of them is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit.registry import tables

GROUP = "fusionkit.schedulers"
"""The entry point group: each object maps names to a class and the options that the name stands for.

A class is one of diffusers, by its name, or `module:Class` of the package itself.
"""

Offer = tuple[str, Mapping[str, Any]]


def offered_schedulers() -> dict[str, Offer]:
    """Class and options by name: short names and names of classes, those of fusionkit first."""
    return _sorted_out()[0]


def refused_schedulers() -> dict[str, str]:
    """Why names that are offered can't be used, each as a line that reads on from the name."""
    return _sorted_out()[1]


def broken_tables() -> list[str]:
    """One line for each package whose schedulers can't be listed."""
    return tables(GROUP)[2]


def _sorted_out() -> tuple[dict[str, Offer], dict[str, str]]:
    found, refused, _ = tables(GROUP)
    sound: dict[str, Offer] = {}
    for name, offer in found.items():
        match offer:
            case (str(cls), Mapping() as options):
                sound[name] = cls, options
            case _:
                refused = {**refused, name: f"must be a class' name and its options, not {offer!r:.100}"}
    return sound, refused


def is_foreign(cls: str) -> bool:
    """Whether a scheduler's class is none of diffusers, so that nothing is told of it before it is imported."""
    return ":" in cls
