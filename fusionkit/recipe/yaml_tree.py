"""Reads YAML into nodes, event by event, so that a small text can't cost much: aliases, tags, merges and limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fusionkit.errors import RecipeError
from fusionkit.recipe import limits
from fusionkit.recipe.nodes import Node, Place
from fusionkit.recipe.texts import unfit_text

if TYPE_CHECKING:
    from ruamel.yaml import YAML

_MERGE = "<<"
# Dates, and what YAML 1.1 had beside them, are text: no key of a recipe takes one.
_SCALARS = ("bool", "float", "int", "null")


@dataclass
class _Part:
    """A finished node, and what it counts for with its aliases written out.

    Args:
        node: The node.
        written: How it was written, where it is a scalar: what it is called as a key.
        merges: Whether it is `<<` without quotes, which as a key merges mappings.
        values: Keys, items and values in it.
        letters: Letters in it.
    """

    node: Node
    written: str | None = None
    merges: bool = False
    values: int = 1
    letters: int = 0


@dataclass
class _Open:
    """A mapping or a list that has begun and not ended."""

    place: Place
    anchor: str | None
    is_mapping: bool
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)
    merged: list[Node] = field(default_factory=list)
    key: _Part | None = None
    values: int = 1
    letters: int = 0

    @property
    def wants_key(self) -> bool:
        """Whether what comes next is a key."""
        return self.is_mapping and self.key is None


class TreeReader:
    """Reads one document.

    Args:
        yaml: The loader whose events and scalars are used.
        at: The place of one of its marks.
    """

    def __init__(self, yaml: YAML, at: Callable[[Any], Place]) -> None:
        self.yaml, self.at = yaml, at
        self.open: list[_Open] = []
        self.anchors: dict[str, _Part | None] = {}  # None while what it names has not ended
        self.root: Node | None = None

    def read(self, text: str) -> Node | None:
        """The document's node; None where there is no document.

        Raises:
            RecipeError: It holds what a recipe can't, or too much.
            YAMLError: It is no YAML.
        """
        from ruamel.yaml import events

        for event in self.yaml.parse(text):
            if isinstance(event, events.DocumentStartEvent):
                if self.root is not None:
                    self._refuse(
                        event, "not YAML: expected a single document in the stream, but found another document"
                    )
                if event.version is not None and tuple(event.version) < (1, 2):
                    self._refuse(event, "is written in YAML 1.2; take the line with %YAML out")
            elif isinstance(event, events.AliasEvent):
                self._alias(event)
            elif isinstance(event, events.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, events.CollectionStartEvent):
                self._begin(event, isinstance(event, events.MappingStartEvent))
            elif isinstance(event, events.CollectionEndEvent):
                self._end(event)
        return self.root

    def _refuse(self, event: Any, problem: str) -> None:
        raise RecipeError([f"{self.at(event.start_mark)}: {problem}"])

    def _begin(self, event: Any, is_mapping: bool) -> None:
        self._no_tag(event)
        if len(self.open) >= limits.DEPTH:
            self._refuse(event, f"is nested too deeply: at most {limits.DEPTH} mappings and lists inside each other")
        if self.open and self.open[-1].wants_key:
            self._refuse(event, "a key must be text, not a mapping or a list")
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.open.append(_Open(self.at(event.start_mark), event.anchor, is_mapping))

    def _end(self, event: Any) -> None:
        done = self.open.pop()
        value: Any = done.items
        if done.is_mapping:
            value = done.entries
            for each in done.merged:
                value = {**value, **{key: node for key, node in each.value.items() if key not in value}}
        node = Node(value, done.place, done.place)
        self._add(_Part(node, values=done.values, letters=done.letters), done.anchor, event)

    def _scalar(self, event: Any) -> None:
        self._no_tag(event)
        if problem := unfit_text(text := joined(event.value)):
            self._refuse(event, f"the text {problem}")
        place = self.at(event.start_mark)
        is_plain = event.implicit[0]
        node = Node(self._value(event, text) if is_plain else text, place, place)
        self._add(_Part(node, text, is_plain and text == _MERGE, letters=len(text)), event.anchor, event)

    def _value(self, event: Any, text: str) -> Any:
        """What a plain scalar stands for."""
        from ruamel.yaml.nodes import ScalarNode

        tag = self.yaml.resolver.resolve(ScalarNode, text, (True, False))
        kind = str(tag).rpartition(":")[2]
        if kind not in _SCALARS:
            return text
        if len(text) > limits.NUMBER_LETTERS:
            self._refuse(event, f"a number of {len(text):,} letters; the most are {limits.NUMBER_LETTERS}")
        make = getattr(self.yaml.constructor, f"construct_yaml_{kind}")
        try:
            return make(ScalarNode(tag, text, start_mark=event.start_mark))
        except ValueError:  # what only looks like a number, such as -_
            return text

    def _alias(self, event: Any) -> None:
        if event.anchor not in self.anchors:
            self._refuse(event, f"not YAML: found undefined alias '{event.anchor}'")
        part = self.anchors[event.anchor]
        if part is None:
            self._refuse(event, f"the alias '{event.anchor}' is inside of what it stands for")
        else:
            place = self.at(event.start_mark)
            self._add(replace(part, node=Node(part.node.value, place, place)), None, event)

    def _add(self, part: _Part, anchor: str | None, event: Any) -> None:
        """Put a finished node where it belongs."""
        if anchor is not None:
            self.anchors[anchor] = part
        if not self.open:
            self.root = part.node
            return
        holder = self.open[-1]
        holder.values += part.values
        holder.letters += part.letters
        for count, most, what in (
            (sum(each.values for each in self.open), limits.VALUES, "values"),
            (sum(each.letters for each in self.open), limits.FILE_BYTES, "letters"),
        ):
            if count > most:
                self._refuse(event, f"has more than {most:,} {what}; what an alias stands for counts each time")
        if holder.wants_key:
            self._key(holder, part, event)
        elif holder.key is not None:
            self._entry(holder, holder.key, part.node)
        else:
            holder.items.append(part.node)

    def _key(self, holder: _Open, part: _Part, event: Any) -> None:
        key = part.written
        if key is None:
            self._refuse(event, "a key must be text, not a mapping or a list")
        elif len(key.splitlines()) > 1:
            self._refuse(event, "a key must be one line")
        elif (part.merges and holder.merged) or (not part.merges and key in holder.entries):
            self._refuse(event, f"'{key}' is given twice")
        holder.key = part

    def _entry(self, holder: _Open, key: _Part, node: Node) -> None:
        holder.key = None
        place = key.node.place
        if not key.merges:
            holder.entries[key.written or ""] = Node(node.value, node.place, place)
            return
        holder.merged = node.value if isinstance(node.value, list) else [node]
        if not all(isinstance(each.value, dict) for each in holder.merged):
            raise RecipeError([f"{place}: '{_MERGE}' merges a mapping, or a list of mappings, and nothing else"])

    def _no_tag(self, event: Any) -> None:
        if (tag := event.tag) is None:
            return
        short = str(tag).replace("tag:yaml.org,2002:", "!!")
        self._refuse(event, f"tags such as {short} are not allowed in a recipe")


def joined(text: str) -> str:
    r"""A text in which the two halves of a letter that was written as in JSON, such as `\ud83d\ude00`, are one."""
    if not re.search("[\ud800-\udbff][\udc00-\udfff]", text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
