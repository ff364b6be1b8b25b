"""A recipe while it is edited: as the page holds it, with what is wrong told at the control that has it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from fusionkit.errors import FusionError
from fusionkit.pictures.carried import OURS, Reader, carried
from fusionkit.recipe.assemble import assembled, extended, find_recipe, is_picture, mapping_of
from fusionkit.recipe.beside import looked_for
from fusionkit.recipe.document import dump_yaml, parse_yaml
from fusionkit.recipe.nodes import Node, Place
from fusionkit.recipe.recipe_file import RecipeFile, recipe_of

SOURCE = "recipe"
_PLACED = re.compile(rf"{SOURCE}:(\d+):\d+: ")
_QUOTED = re.compile(r"'([^']+)'")
_TYPED = "$yaml"

DOWNLOAD = "tick 'Fetch what it names' in the studio"
"""How a user of the studio allows that the hub is asked for what a picture names."""

Pointer = Sequence[str | int]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Args:
        at: Where in the recipe: keys and indices from its root; empty where it is of the whole.
        line: What is wrong, without its place.
    """

    at: Pointer
    line: str


@dataclass
class Draft:
    """A recipe as the page sends it.

    Args:
        recipe: A mapping as of a YAML file. A mapping of the one key `$yaml` stands for the text in it, as YAML.
        careful: Whether it comes from a picture, so that nothing that it names is fetched.
    """

    recipe: Mapping[str, Any]
    careful: bool = False
    _pointers: list[Pointer] = field(default_factory=list)

    def care(self) -> AbstractContextManager[object]:
        """Within it a recipe that a picture carries is checked and drawn."""
        return carried(DOWNLOAD) if self.careful else nullcontext()

    def nodes(self) -> Node:
        """The recipe as a tree whose places are numbers of controls.

        Raises:
            RecipeError: A text that was typed is no YAML.
        """
        self._pointers.clear()
        return self._node(dict(self.recipe), ())

    def plain(self) -> dict[str, Any]:
        """The recipe, with texts that were typed read.

        Raises:
            RecipeError: One is no YAML.
        """
        found: dict[str, Any] = self.nodes().plain()
        return found

    def yaml(self) -> str:
        """The recipe as a file.

        Raises:
            RecipeError: A text that was typed is no YAML.
        """
        return dump_yaml(self.plain())

    def read(self) -> RecipeFile:
        """The recipe, checked as far as that goes without its model; paths are from the working folder.

        Raises:
            RecipeError: All problems, each with its place.
        """
        entries = {key: node for key, node in self.nodes().value.items() if key not in OURS}
        return recipe_of(entries, Path(), "picture", SOURCE)

    def problems(self, error: FusionError) -> list[Problem]:
        """What an error says, each at its control."""
        return [self._problem(line) for line in str(error).split("\n")]

    def _problem(self, line: str) -> Problem:
        found = _PLACED.match(line)
        if found is None:
            return Problem((), line.removeprefix(f"{SOURCE}: "))
        at, said = self._pointers[int(found[1]) - 1], line[found.end() :]
        # What is told of a plugin as a whole may name one of its entries: "box [...] of 'sun' reaches beyond ...".
        inside = [each for each in self._pointers if each[: len(at)] == at and len(each) > len(at)]
        named = [each for word in _QUOTED.findall(said) for each in inside if each[-1] == word]
        return Problem(named[0] if len(named) == 1 else at, said)

    def _node(self, value: Any, at: Pointer) -> Node:
        self._pointers.append(at)
        place = Place(SOURCE, len(self._pointers), 1)
        if isinstance(value, dict) and list(value) == [_TYPED]:
            return parse_yaml(str(value[_TYPED]), SOURCE, place)
        if isinstance(value, dict):
            value = {str(name): self._node(each, (*at, str(name))) for name, each in value.items()}
        elif isinstance(value, list):
            value = [self._node(each, (*at, number)) for number, each in enumerate(value)]
        return Node(value, place, place)


def opened(source: str) -> Draft:
    """The recipe of a file, of a bundled recipe's name, or of a picture that carries one, as a draft.

    Raises:
        RecipeError: It can't be read, or there is none.
    """
    path = find_recipe(source)
    reader = Reader(lambda: None)
    tree = reader.placed(Node(assembled(path, read=reader), Place(source), Place(source)))
    for node in tree.find(("plugins",)).scalars() if "plugins" in tree.value else ():
        node.value = _found_beside(node)
    tree.value.setdefault("name", Node.of(_named(path), Place(source)))
    return Draft(_without_ours(tree.plain()), careful=bool(reader.carriers))


def typed(text: str) -> Draft:
    """The recipe of a text that somebody wrote.

    Raises:
        RecipeError: It is no recipe's YAML; with line and column.
    """
    reader = Reader(lambda: None)
    entries = extended(mapping_of(parse_yaml(text, "line")), Path(), read=reader)
    return Draft(_without_ours({key: node.plain() for key, node in entries.items()}), careful=bool(reader.carriers))


def in_order(recipe: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A recipe whose keys are in an order, others last."""
    return dict(sorted(recipe.items(), key=lambda each: names.index(each[0]) if each[0] in names else len(names)))


def new_seeds(recipe: Mapping[str, Any], there: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The recipe with its seed and those after it, without end, but for those with which it is among others."""
    rest = {key: value for key, value in recipe.items() if key != "seed"}
    taken = {each.get("seed", 0) for each in there if {**rest, "seed": each.get("seed", 0)} == {"seed": 0, **each}}
    for seed in count(recipe.get("seed", 0)):
        if seed not in taken:
            yield {**rest, "seed": seed}


def _found_beside(node: Node) -> Any:
    """A value; of a file that lies beside the recipe in which it is named, and not in the working folder, its path."""
    if not isinstance(node.value, str) or not Path(node.value).suffix:
        return node.value
    path = looked_for(Path(node.value), [Path(node.place.source).parent])
    return node.value if path == Path(node.value) else str(path.resolve())


def _named(path: Path) -> str:
    return path.stem.rpartition("-")[0] or path.stem if is_picture(path) else path.stem


def _without_ours(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in recipe.items() if key not in OURS}
