"""The commands that the installed packages offer, found by entry points as plugins are; none is imported to be listed.

This module is imported before anything answers, so it imports neither pydantic nor the registry.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import click

from fusionkit.errors import FusionError, PluginError
from fusionkit.foreign import guarded, offered_twice, package_of, printable

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "fusionkit.commands"

OURS = {
    "run": "Make the picture of a recipe.",
    "validate": "Check recipes without loading a model.",
    "plan": "Show the stages, views, forward passes and memory of a run.",
    "recipes": "List the bundled recipes, or print one.",
    "new-recipe": "Write a recipe of your own, each line explained.",
    "upscale": "Enlarge photos.",
    "studio": "Change, draw and look at recipes in the browser.",
    "compare": "See which recipe or value is better, and what it costs.",
    "evaluate": "Score a folder of pictures.",
    "bench": "Measure what a recipe costs, and against what.",
    "plugins": "List the installed plugins, or show one.",
    "new-plugin": "Write a package with a plugin of your own, to begin with.",
    "models": "List the embedded models and ControlNets.",
    "schema": "Print the JSON schema of recipes, for editors.",
    "replay": "Make a picture again and compare.",
    "decode": "Decode the picture that a run has kept.",
    "doctor": "See what is installed, and what of it does not fit.",
    "vista": "Draw what the embedded models of vista were trained on.",
}
"""Of fusionkit itself, in the order in which a new user needs them, with their lines in the list of all commands."""

_PACKAGES = (".dist-info", ".egg-info")


@lru_cache
def offered() -> dict[str, list[EntryPoint]]:
    """The entry points by name: fusionkit's own in their order, then others by name."""
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    ours = [name for name in OURS if name in found]
    return {name: found[name] for name in (*ours, *sorted(found.keys() - OURS.keys()))}


def names() -> list[str]:
    """All commands, fusionkit's own first."""
    return list(OURS if _only_ours() else offered())


@lru_cache
def _only_ours() -> bool:
    """Whether fusionkit's is the only package that offers commands, by the packages' files.

    To import what reads entry points, and to read them all, takes longer than all the rest of `--help`.
    """
    mark = f"[{GROUP}]".encode()
    for folder in sys.path:
        try:
            inside = [
                each.path for each in os.scandir(folder or ".") if each.name.endswith((".dist-info", ".egg-info"))
            ]
        except OSError:
            continue
        for path in inside:
            try:
                with open(os.path.join(path, "entry_points.txt"), "rb") as file:
                    if mark in file.read() and not os.path.basename(path).startswith("fusionkit-"):
                        return False
            except OSError:
                continue
    return True


def load(name: str) -> click.Command:
    """The command of a name.

    Raises:
        PluginError: Several packages offer it, or it can't be imported, or is no command of click.
    """
    if (entries := offered().get(name)) is None:
        raise PluginError(
            f"command '{name}' is not among the entry points of this installation; install fusionkit again"
        )
    if reason := offered_twice(entries):
        raise PluginError(f"command '{name}' {reason}")
    entry = entries[0]
    whose = f"command '{name}' of package '{package_of(entry)}'"
    with guarded(f"{whose} can't be imported ({entry.value})"):
        found = entry.load()
    if not isinstance(found, click.Command):
        raise PluginError(f"{whose} is {found!r:.100}, not a command of click")
    return found


def summaries(listed: Sequence[str], width: int) -> Iterator[tuple[str, str]]:
    """Each command with the line that says what it does; of one that is broken, the line says why.

    Args:
        listed: The commands.
        width: Characters of a line; a longer one is cut at a word.
    """
    for name in listed:
        if name in OURS and (_only_ours() or not offered_twice(offered()[name])):
            yield name, OURS[name]
            continue
        try:
            command = load(name)
        except FusionError as error:
            yield name, printable(f"({error})")
            continue
        if not command.hidden:
            yield name, printable(command.get_short_help_str(width))
