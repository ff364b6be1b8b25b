"""Whether a file is the whole picture that a comparison drew, what is left of it, or somebody else's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from fusionkit.comparison.written import Written
from fusionkit.errors import FusionError, RecipeError
from fusionkit.pictures.finished import damage, fingerprint_of
from fusionkit.pictures.metadata import KEY, read_metadata

_NUMBERS = ("seconds", "forward-passes")


@dataclass(frozen=True)
class Condition:
    """What is in a picture's place; nothing where none of these holds.

    Args:
        drawn: The picture, whole.
        damaged: What is left of it; it may be drawn again over it.
        changed: Another picture than was drawn; it is kept aside, and the picture drawn again.
        foreign: Somebody else's file: why, as a sentence goes on; it is left alone.
    """

    drawn: bool = False
    damaged: bool = False
    changed: bool = False
    foreign: str = ""


def condition_of(path: Path, fingerprint: str, written: Written) -> Condition:
    """What is in a picture's place.

    Args:
        path: Its file.
        fingerprint: Of its recipe.
        written: What fusionkit wrote into its folder.
    """
    if path.is_symlink() or not path.is_file():
        return Condition(foreign=written.why_foreign(path))
    if path.stat().st_size == 0:
        return Condition(damaged=True)
    if written.is_ours(path):
        return Condition(drawn=True)
    if damage(path):
        was_ours = written.was_ours(path) or _names_fusionkit(path)
        return Condition(damaged=True) if was_ours else Condition(foreign=written.why_foreign(path))
    if written.was_ours(path):
        return Condition(changed=True)
    # A whole picture that is not noted may have been copied here together with its folder.
    if _fingerprint_in(path) == fingerprint:
        return Condition(drawn=True)
    return Condition(foreign=written.why_foreign(path))


def run_in(told: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a picture says that its run cost; None where it says nothing that can be counted."""
    run = told.get("run")
    if not isinstance(run, dict) or not isinstance(run.get("warm"), bool):
        return None
    numbers = [run.get(name) for name in _NUMBERS]
    if run.get("peak-memory") is not None:
        numbers.append(run["peak-memory"])
    counted = all(isinstance(each, (int, float)) and not isinstance(each, bool) and isfinite(each) for each in numbers)
    return run if counted else None


def _names_fusionkit(path: Path) -> bool:
    """Whether a damaged file begins as a picture of fusionkit does: PNG, with its own text."""
    with path.open("rb") as file:
        begin = file.read(4096)
    return begin.startswith(b"\x89PNG") and KEY.encode() + b"\0" in begin


def _fingerprint_in(path: Path) -> str | None:
    """The fingerprint of the recipe that a picture carries together with what its run cost."""
    from fusionkit.recipe.recipe_file import parse_recipe
    from fusionkit.trust import named_by_a_picture

    try:
        told = read_metadata(path)
        if run_in(told) is None:
            return None
        with named_by_a_picture(paths="", downloads=""):
            return fingerprint_of(parse_recipe(told["recipe"], str(path)).recipes[0])
    except (FusionError, RecipeError):
        return None
