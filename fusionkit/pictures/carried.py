"""Recipes that pictures carry: read as a recipe's file is, and told apart from it, since they may be a stranger's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionkit.errors import RecipeError
from fusionkit.pictures.finished import OF_THE_MACHINE
from fusionkit.pictures.inputs import Inputs
from fusionkit.pictures.metadata import read_metadata
from fusionkit.recipe import recipe_file
from fusionkit.recipe.assemble import is_picture, mapping_of, own_entries, shown_path
from fusionkit.recipe.differences import differences
from fusionkit.recipe.document import parse_yaml
from fusionkit.recipe.nodes import Node
from fusionkit.recipe.recipe_file import RecipeFile
from fusionkit.trust import Limits, hub_offline, named_by_a_picture

OURS = ("output", "overwrite", "preview-every")
"""What the user says and never the recipe inside a picture: where files go, and what they replace."""


@contextmanager
def carried(download: str | None) -> Iterator[Limits]:
    """While a picture's recipe is read, checked and drawn: what it names is opened with care, and not fetched.

    Args:
        download: How the user allows that the hub is asked; None where it is.
    """
    hub: AbstractContextManager[None] = nullcontext() if download is None else hub_offline()
    with hub, named_by_a_picture(downloads=download) as limits:
        yield limits


@dataclass
class Carrier:
    """A picture whose recipe was read.

    Args:
        path: The picture.
        told: What it says of how it was made.
        entries: Its recipe's entries, without those that are the user's.
        inputs: The files that its recipe reads.
    """

    path: Path
    told: Mapping[str, Any]
    entries: Mapping[str, Node]
    inputs: Inputs

    def differences(self, file: RecipeFile) -> list[str]:
        """What a recipe says differently than the picture's own, in short."""
        return differences(self.entries, file.tree.value, without=(*OURS, *OF_THE_MACHINE))


def carrier_of(path: Path, name: str) -> Carrier:
    """A picture with the recipe that it carries.

    Args:
        path: The picture.
        name: What errors call it.

    Raises:
        RecipeError: It carries none, or one that is not of one picture.
    """
    told = read_metadata(path)
    tree = parse_yaml(told["recipe"], name)
    entries = {key: node for key, node in mapping_of(tree).items() if key not in OURS}
    if "extends" in entries:
        raise RecipeError([f"{entries['extends'].key}: a recipe has no option 'extends' inside a picture"])
    if isinstance(prompts := entries.get("prompt", tree).value, list):
        raise RecipeError([f"{name}: carries a recipe of {len(prompts)} prompts; a picture is drawn from one"])
    return Carrier(path, told, entries, Inputs(told.get("files", {}), path, source=name))


@dataclass
class Reader:
    """Reads a recipe's entries, of a file or of the picture that carries them.

    Args:
        begin: Called before what a picture's recipe names is looked for.
        carriers: The pictures that were read.
    """

    begin: Callable[[], object]
    carriers: list[Carrier] = field(default_factory=list)

    def __call__(self, path: Path) -> dict[str, Node]:
        """The entries.

        Raises:
            RecipeError: There are none, or they make no recipe of one picture.
        """
        if not is_picture(path):
            return own_entries(path)
        carrier = carrier_of(path, shown_path(path))
        if not self.carriers:
            self.begin()
        self.carriers.append(carrier)
        return dict(carrier.entries)

    def placed(self, root: Node) -> Node:
        """A recipe's document with the places where the pictures' files are now.

        Raises:
            RecipeError: Files are nowhere; one line for each.
        """
        for each in self.carriers:
            root = each.inputs.placed(root)
        return root


def read_recipe(
    source: str | Path,
    sets: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    begin: Callable[[], object] = lambda: None,
    piped: str | None = None,
) -> tuple[RecipeFile, Sequence[Carrier]]:
    """As `recipe.recipe_file.read_recipe`, of a file, a bundled recipe or a picture, which a file may extend, too.

    Args:
        source: What the user wrote.
        sets: Changes such as `steps=20`.
        options: Values of options that have a flag of their own.
        begin: Called before what a picture's recipe names is looked for: the place to begin with `carried`, which lasts
            as long as what is done with the recipe.
        piped: The recipe's text, where it comes from standard input and from no source.

    Returns:
        The recipe, and the pictures that were read for it.

    Raises:
        RecipeError: All problems, each with its place.
    """
    reader = Reader(begin)
    if piped is not None:
        return recipe_file.piped_recipe(piped, sets, options, reader, reader.placed), reader.carriers
    return recipe_file.read_recipe(source, sets, options, reader, reader.placed), reader.carriers
