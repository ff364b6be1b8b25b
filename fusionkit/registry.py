"""Finds the plugins that the installed packages offer, without letting a broken one take the others down."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from fusionkit.errors import PluginError, did_you_mean
from fusionkit.plugin import Plugin

ENTRY_POINT_GROUP = "fusionkit.plugins"


def offered() -> dict[str, EntryPoint]:
    """The entry points of the group `fusionkit.plugins`, by plugin name; nothing is imported."""
    return {name: entries[0] for name, entries in _by_name().items()}


def forget() -> None:
    """Look at the installed packages again when the next plugin is asked for."""
    _by_name.cache_clear()


@lru_cache(maxsize=1)
def _by_name() -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name):
        found.setdefault(entry.name, []).append(entry)
    return found


def package_of(entry: EntryPoint) -> str:
    """The distribution that offers a plugin, for errors and lists."""
    return entry.dist.name if entry.dist is not None else entry.module


def load(name: str) -> type[Plugin]:
    """The plugin class of a name.

    Raises:
        PluginError: No package offers the name, or several do, or it can't be imported, or it is no `Plugin`.
    """
    entry = offered().get(name)
    if entry is None:
        hint = did_you_mean(name, offered()) or f"; installed are: {', '.join(offered()) or 'none'}"
        raise PluginError(f"no plugin '{name}'{hint}")
    if len(packages := sorted({package_of(each) for each in _by_name()[name]})) > 1:
        both = " and ".join(f"'{package}'" for package in packages)
        raise PluginError(f"plugin '{name}' is offered by the packages {both}; uninstall all but one of them")
    try:
        found = entry.load()
    except Exception as error:
        # Somebody else's module may raise anything; its user needs to know whose it is, in one line.
        raise PluginError(
            f"plugin '{name}' of package '{package_of(entry)}' can't be imported ({entry.value}): "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Plugin)):
        raise PluginError(
            f"plugin '{name}' of package '{package_of(entry)}' is {found!r}, not a subclass of fusionkit.Plugin"
        )
    if found.plugin_name != name:
        raise PluginError(
            f"plugin '{name}' of package '{package_of(entry)}' calls itself '{found.plugin_name}': "
            f"its entry point and its class must have one name"
        )
    return found
