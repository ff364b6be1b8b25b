"""What two recipes say differently, key by key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from fusionkit.recipe.assemble import plugin_name
from fusionkit.recipe.nodes import Node
from fusionkit.recipe.problems import shown

_NONE = object()


def differences(before: Mapping[str, Node], after: Mapping[str, Node], without: Collection[str] = ()) -> list[str]:
    """One text for each key, or option of a plugin, that differs: `steps 25 -> 60`.

    Args:
        before: A recipe's entries.
        after: Those of another one.
        without: Keys that do not count.
    """
    old, new = (dict(_flat(each, without)) for each in (before, after))
    return [
        _told(key, old.get(key, _NONE), new.get(key, _NONE))
        for key in dict.fromkeys([*old, *new])
        if old.get(key, _NONE) != new.get(key, _NONE)
    ]


def _flat(entries: Mapping[str, Node], without: Collection[str]) -> Iterator[tuple[str, Any]]:
    for key, node in entries.items():
        if key == "plugins" and isinstance(node.value, list):
            for entry in node.value:
                name = plugin_name(entry)
                yield f"plugins.{name}", None
                if isinstance(entry.value, dict) and entry.value:
                    yield from _options(f"plugins.{name}", entry.value[str(name)])
        elif key not in without:
            yield from _options(key, node)


def _options(key: str, node: Node) -> Iterator[tuple[str, Any]]:
    if isinstance(node.value, dict):
        for name, each in node.value.items():
            yield from _options(f"{key}.{name}", each)
    elif node.value is not None:
        yield key, node.plain()


def _told(key: str, old: Any, new: Any) -> str:
    if new is _NONE:
        return f"{key} left out"
    if old is _NONE:
        return f"{key} added" if new is None else f"{key} {_value(new)}"
    return f"{key} {_value(old)} -> {_value(new)}"


def _value(value: Any) -> str:
    return str(value) if isinstance(value, str) and " " not in value and len(value) < 40 else shown(value)
