"""Finds what the installed packages offer, without letting a broken package take the others down."""

from __future__ import annotations

import sys
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint
from typing import Any, Generic, TypeVar

from fusionkit.errors import FusionError, PluginError, RecipeError, did_you_mean
from fusionkit.foreign import entries_of, guarded
from fusionkit.foreign import offered_twice as offered_twice
from fusionkit.foreign import package_of as package_of
from fusionkit.plugin import Plugin

ENTRY_POINT_GROUP = "fusionkit.plugins"

T = TypeVar("T")


def public(kind: type) -> str:
    """The name by which people import a class: that of its package, where the package offers it."""
    package = kind.__module__.rpartition(".")[0]
    offers = getattr(sys.modules.get(package), kind.__name__, None) is kind
    return f"{package if offers else kind.__module__}.{kind.__name__}"


class Group(Generic[T]):
    """What the packages offer in one entry point group: subclasses of one base, by name.

    Args:
        name: The group's name.
        noun: What one of them is called in errors, and where the class says its own name: `plugin_name`.
        base: What each of them is a subclass of.
    """

    def __init__(self, name: str, noun: str, base: type[T]) -> None:
        self.name, self.noun, self.base = name, noun, base

    @cached_property
    def entries(self) -> dict[str, list[EntryPoint]]:
        """The entry points by name; nothing is imported."""
        found: dict[str, list[EntryPoint]] = {}
        for entry in sorted(entries_of(self.name), key=lambda each: each.name):
            found.setdefault(entry.name, []).append(entry)
        return found

    def forget(self) -> None:
        """Look at the installed packages again when the next one is asked for."""
        self.__dict__.pop("entries", None)

    def load(self, name: str) -> type[T]:
        """The class of a name.

        Raises:
            RecipeError: No package offers the name.
            PluginError: Several packages do, or it can't be imported, or it is no subclass of the base, or lacks one
                of its methods.
        """
        entries = self.entries.get(name)
        if entries is None:
            hint = did_you_mean(name, self.entries) or f"; installed are: {', '.join(self.entries) or 'none'}"
            raise RecipeError([f"no {self.noun} '{name}'{hint}"])
        if reason := offered_twice(entries):
            raise PluginError(f"{self.noun} '{name}' {reason}")
        entry = entries[0]
        whose = f"{self.noun} '{name}' of package '{package_of(entry)}'"
        with guarded(f"{whose} can't be imported ({entry.value})"):
            found = entry.load()
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise PluginError(f"{whose} is {found!r}, not a subclass of {public(self.base)}")
        if lacking := ", ".join(sorted(getattr(found, "__abstractmethods__", ()))):
            raise PluginError(f"{whose} does not implement {lacking}, as each {public(self.base)} must")
        own = getattr(found, f"{self.noun}_name", name)
        if own != name:
            raise PluginError(f"{whose} calls itself '{own}': its entry point and its class must have one name")
        return found

    def load_all(self) -> tuple[dict[str, type[T]], dict[str, str]]:
        """The classes by name, and of each one that is broken why, so that it hides no other."""
        found: dict[str, type[T]] = {}
        broken: dict[str, str] = {}
        for name in self.entries:
            try:
                found[name] = self.load(name)
            except FusionError as error:
                broken[name] = str(error)
        return found, broken


@lru_cache
def tables(group: str) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """What the packages offer in a group whose entry points are mappings, by name, those of fusionkit first.

    Args:
        group: The group's name.

    Returns:
        All of it; why a name that several packages offer is none; and a line for each entry point that is broken.
    """
    found: dict[str, Any] = {}
    owners: dict[str, list[EntryPoint]] = {}
    refused: dict[str, str] = {}
    broken: list[str] = []
    for entry in sorted(entries_of(group), key=lambda each: (package_of(each) != "fusionkit", each.name)):
        try:
            with guarded(f"'{entry.name}' of package '{package_of(entry)}' can't be imported ({entry.value})"):
                offered = dict(entry.load())
        except PluginError as error:
            broken.append(str(error))
            continue
        for name, each in offered.items():
            found.setdefault(str(name), each)
            owners.setdefault(str(name), []).append(entry)
    for name, entries in owners.items():
        if reason := offered_twice(entries):
            del found[name]
            refused[name] = reason
    return found, refused, broken


PLUGINS = Group(ENTRY_POINT_GROUP, "plugin", Plugin)


def offered() -> dict[str, EntryPoint]:
    """The entry points of the group `fusionkit.plugins`, by plugin name; nothing is imported."""
    return {name: entries[0] for name, entries in PLUGINS.entries.items()}


def forget() -> None:
    """Look at the installed packages again when the next plugin is asked for."""
    PLUGINS.forget()
    tables.cache_clear()


def load(name: str) -> type[Plugin]:
    """The plugin class of a name.

    Raises:
        RecipeError: No package offers the name.
        PluginError: Several packages do, or it can't be imported, or it is no `Plugin`.
    """
    return PLUGINS.load(name)
