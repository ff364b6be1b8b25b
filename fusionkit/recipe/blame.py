"""Finds what a problem that was found later is about: an option, a plugin or a model, wherever it was given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from fusionkit.recipe.assemble import ONE_OF, plugin_name
from fusionkit.recipe.nodes import Node


def blamed(tree: Node, problem: str) -> Node:
    """The node of a recipe's tree that the words of a problem name; the tree itself where they name none.

    Its first words name an option, a plugin, or a model. Where the plugin's own option that it speaks of, or else a key
    that it speaks of, was given on the command line or by another file, that is what its reader has to change; of a
    plugin that an extended recipe lists, a key of the recipe itself.
    """
    plugins = tree.value["plugins"].value if "plugins" in tree.value else []
    entries: dict[str, Node] = {str(plugin_name(entry)): entry for entry in plugins}
    keys: dict[str, Node] = {key: node for key, node in tree.value.items() if key != "plugins"}
    words = [word.strip("':,") for word in problem.split(" ", 3)[:3]]
    for word in words:
        if word in ("model", "models", "LoRA", "loras") and (found := _model(keys, problem)) is not None:
            return found
        if word in entries:
            own = tree.place.source
            return _option(entries[word], keys, problem, own if entries[word].place.source != own else "")
        for name in ("loras" if word == "LoRA" else word, ONE_OF.get(word, word)):
            if name in keys:
                return keys[name]
    return _given_later(keys, problem) or tree


def _model(keys: Mapping[str, Node], problem: str) -> Node | None:
    """The model that is named, or whose source or LoRA is; of two that don't fit, the later one."""
    models: dict[str, Node] = keys["models"].value if "models" in keys else {}
    for node in reversed(models.values()):
        for inner in node.scalars():
            if f"'{inner.value}'" in problem:
                return inner
    for name, node in reversed(models.items()):
        if f"'{name}'" in problem:
            return node
    for node in (keys[key] for key in ("loras", "model", "models") if key in keys):
        for inner in node.scalars():
            if f"'{inner.value}'" in problem:
                return node
    return keys.get("model", keys.get("models"))


def _option(entry: Node, keys: Mapping[str, Node], problem: str, later: str) -> Node:
    """An entry of the plugins, or what was given elsewhere than in it and is what the problem speaks of.

    Args:
        entry: The entry.
        keys: The other keys of the recipe.
        problem: The problem.
        later: The file that extends the one of the entry; empty where that is none.
    """
    options = entry.value[plugin_name(entry)].value if isinstance(entry.value, dict) else None
    if isinstance(options, dict):
        elsewhere = dict(_given_elsewhere(options, entry.place.source))
        quoted = (each for node in elsewhere.values() for each in node.scalars() if f"'{each.value}'" in problem)
        if (found := _first_named(elsewhere, problem) or next(quoted, None)) is not None:
            return found
    return _given_later(keys, problem, later) or entry


def given_elsewhere(node: Node, problem: str) -> Node | None:
    """What of a mapping was given somewhere else than the mapping, and is what a problem of the whole speaks of."""
    if not isinstance(node.value, dict):
        return None
    return _first_named(dict(_given_elsewhere(node.value, node.place.source)), problem)


def _given_elsewhere(options: Mapping[str, Node], source: str) -> Iterator[tuple[str, Node]]:
    """The options, and what they are made of, that were given somewhere else."""
    for key, node in options.items():
        if node.place.source != source:
            yield key, node
        elif isinstance(node.value, dict):
            yield from _given_elsewhere(node.value, source)


def _given_later(keys: Mapping[str, Node], problem: str, later: str = "") -> Node | None:
    """The key that a problem speaks of, of the command line, or else of a file."""
    told = {key: node for key, node in keys.items() if node.place.source.startswith("--")}
    written = {key: node for key, node in keys.items() if node.place.source == later}
    return _first_named(told, problem) or _first_named(written, problem)


def _first_named(nodes: Mapping[str, Node], problem: str) -> Node | None:
    named = {key: re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])", problem) for key in nodes}
    spots = {key: found.start() for key, found in named.items() if found is not None}
    return nodes[min(spots, key=lambda key: spots[key])] if spots else None
