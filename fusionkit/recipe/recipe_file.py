"""Recipe files: found, put together from what they extend and what the command line sets, and checked in one go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fusionkit.errors import FusionError, PluginError, RecipeError, did_you_mean
from fusionkit.plugin import Plugin
from fusionkit.recipe import limits
from fusionkit.recipe.assemble import (
    ONE_OF,
    STANDARD_INPUT,
    Change,
    Reader,
    assembled,
    extended,
    find_recipe,
    mapping_of,
    over,
    own_entries,
    parse_change,
    set_option,
    shown_path,
)
from fusionkit.recipe.beside import by_their_places, pictures_beside, written_elsewhere
from fusionkit.recipe.blame import blamed, given_elsewhere
from fusionkit.recipe.document import parse_yaml
from fusionkit.recipe.nodes import Node, Place
from fusionkit.recipe.other_names import meant
from fusionkit.recipe.problems import ALL_KEYS, Location, complaints, options_of, shown
from fusionkit.recipe.recipe import Recipe, plugin_entry, with_options
from fusionkit.recipe.values import PromptText
from fusionkit.registry import load

Note = Callable[..., None]
Placed = Callable[[Node], Node]


class _Prompts(BaseModel):
    """Several prompts, each of which is one of a recipe."""

    prompt: list[PromptText]


@dataclass(frozen=True)
class RecipeFile:
    """A recipe file, read and checked as far as that goes without its model.

    Args:
        source: What errors call the file.
        recipes: One recipe for each of its prompts.
        tree: Everything in it, with places.
    """

    source: str
    recipes: Sequence[Recipe]
    tree: Node

    def located(self, problem: str, at: Location = ()) -> str:
        """A problem that was found later, with its place.

        Args:
            problem: One line.
            at: Where it is in the tree; otherwise the option, plugin or model that its words name is looked for.
        """
        return f"{(self.tree.find(at) if at else blamed(self.tree, problem)).place}: {problem}"


def load_recipes(source: str | Path, sets: Sequence[str] = ()) -> list[Recipe]:
    """The recipes of a file, one for each of its prompts.

    Args:
        source: A path, or the name of a bundled recipe.
        sets: Changes such as `plugins.style-alignment.alpha=0.6`.

    Raises:
        RecipeError: All problems, each with its place.
    """
    return list(read_recipe(source, sets).recipes)


def read_recipe(
    source: str | Path,
    sets: Sequence[str | Change] = (),
    options: Mapping[str, Any] | None = None,
    read: Reader = own_entries,
    placed: Placed | None = None,
) -> RecipeFile:
    """A recipe file with the changes of a command line.

    Args:
        source: A path, or the name of a bundled recipe.
        sets: Changes such as `steps=20` or `plugins.style-alignment.alpha=0.6`.
        options: Values of options that have a flag of their own, such as `seed`; None leaves the recipe's.
        read: Reads a file's entries.
        placed: As for `parse_recipe`.

    Raises:
        RecipeError: All problems, each with its place.
    """
    path = find_recipe(source)
    with pictures_beside(path.parent):
        return _checked(assembled(path, read=read), path.stem, shown_path(path), sets, options or {}, placed)


def piped_recipe(
    text: str,
    sets: Sequence[str | Change] = (),
    options: Mapping[str, Any] | None = None,
    read: Reader = own_entries,
    placed: Placed | None = None,
) -> RecipeFile:
    """As `read_recipe`, of the text of standard input.

    Paths in it are from the working folder, and what it extends is looked for there.

    Raises:
        RecipeError: All problems, each with its place.
    """
    entries = mapping_of(parse_yaml(text, STANDARD_INPUT))
    with pictures_beside(Path()):
        return _checked(extended(entries, Path(), read=read), "recipe", STANDARD_INPUT, sets, options or {}, placed)


def recipe_reader(path: Path) -> Callable[[Sequence[str | Change]], RecipeFile]:
    """A function that reads one file with changes, again and again; the file itself is read once."""

    @lru_cache(maxsize=1)
    def entries() -> dict[str, Node]:
        return assembled(path)

    def read(sets: Sequence[str | Change]) -> RecipeFile:
        with pictures_beside(path.parent):
            return _checked(entries(), path.stem, shown_path(path), sets, {})

    return read


def parse_recipe(
    text: str,
    name: str,
    sets: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    placed: Placed | None = None,
    without: Sequence[str] = (),
) -> RecipeFile:
    """A recipe from a text, such as one that a picture carries.

    Args:
        text: YAML.
        name: What errors call it.
        sets: Changes, as `read_recipe` takes them.
        options: Values of options that have a flag of their own.
        placed: Says where the files are that it names: changes the whole document before it is checked.
        without: Keys of the text that do not count, whatever they say.

    Raises:
        RecipeError: All problems, each with its place.
    """
    entries = mapping_of(parse_yaml(text, name))
    counted = {key: node for key, node in entries.items() if key not in without}
    return _checked(counted, "recipe", name, sets, options or {}, placed)


def recipe_of(
    entries: Mapping[str, Node], beside: Path, name: str, source: str, sets: Sequence[str | Change] = ()
) -> RecipeFile:
    """A recipe that stands inside another document.

    Args:
        entries: The recipe's entries.
        beside: The folder that paths in it are relative to.
        name: What the recipe is called.
        source: What errors call it.
        sets: Changes to it.

    Raises:
        RecipeError: All problems, each with its place.
    """
    with pictures_beside(beside):
        return _checked(extended(entries, beside), name, source, sets, {})


def _checked(
    entries: Mapping[str, Node],
    name: str,
    source: str,
    sets: Sequence[str | Change],
    options: Mapping[str, Any],
    placed: Placed | None = None,
) -> RecipeFile:
    tree = dict(entries)
    problems: list[str] = []
    for change in sets:
        try:
            set_option(tree, parse_change(change) if isinstance(change, str) else change)
        except RecipeError as error:
            problems += error.problems
    said = [change.partition("=")[0].strip() if isinstance(change, str) else change[0] for change in sets]
    for key, value in options.items():
        if value is not None:
            tree[key] = Node.of(value, Place(f"--{key}"))
            tree.pop(ONE_OF.get(key, ""), None)
            said.append(key)
    if "preset" in said and "preset" in tree:
        tree["preset"] = over(tree["preset"], entries, said)
    tree.setdefault("name", Node(name, Place(source), Place(source)))
    root = Node(tree, Place(source), Place(source))
    if placed is not None:
        try:
            root = placed(root)
        except RecipeError as error:
            problems += error.problems
    recipes, found = _build(root)
    if problems or found:
        raise RecipeError(dict.fromkeys([*problems, *found]))
    return RecipeFile(source, recipes, root)


def _build(root: Node) -> tuple[list[Recipe], list[str]]:
    """The recipes, or all problems, in the order of the file."""
    found: list[tuple[Place, str]] = []

    def note(location: Location, line: str, is_key: bool = False) -> None:
        node = root.find(location)
        later = None if is_key else given_elsewhere(node, line)
        found.append((node.key if is_key else (later or node).place, line))

    known = options_of(Recipe)
    fields: dict[str, Any] = {}
    for key, node in root.value.items():
        if key not in known:
            note((key,), f"a recipe has no option '{key}'{meant(key, known) or ALL_KEYS}", is_key=True)
        else:
            fields[key] = node.plain()
    if "plugins" in fields:
        fields["plugins"] = _plugins(root.value["plugins"], root.place.source, note)
    first, *others = _prompts(fields.pop("prompt", ""), note)
    try:
        recipe = Recipe.model_validate({**fields, "prompt": first})
        recipes = [recipe, *(recipe.model_copy(update={"prompt": prompt}) for prompt in others)]
    except ValidationError as error:
        for each in complaints(error, Recipe):
            # What is wrong with several keys together is where the first of them is.
            named = next(((key,) for key in fields if f"'{key}'" in each.line), ())
            note(each.location or named, each.line, each.is_key or not each.location)
    found.sort(key=lambda each: (each[0].source != root.place.source, each[0].line, each[0].column))
    return ([], [f"{place}: {line}" for place, line in found]) if found else (recipes, [])


def _prompts(value: Any, note: Note) -> list[str]:
    """One prompt, or several in a list."""
    if isinstance(value, list):
        if not value:
            note(("prompt",), "'prompt' is an empty list; give at least one prompt")
        if len(value) > limits.PROMPTS:
            note(("prompt",), f"'prompt' has {len(value):,} prompts; the most are {limits.PROMPTS:,}")
        try:
            return _Prompts(prompt=value).prompt or [""]
        except ValidationError as error:
            for each in complaints(error, _Prompts):
                note(each.location, each.line)
            return [""]
    return [value]


def _plugins(entries: Node, source: str, note: Note) -> list[Plugin]:
    if not isinstance(entries.value, list):
        extra = "; a mapping can only change the plugins of a recipe that is extended"
        found = "a mapping" if isinstance(entries.value, dict) else shown(entries.value)
        note(("plugins",), f"'plugins' must be a list, not {found}{extra if isinstance(entries.value, dict) else ''}")
        return []
    if len(entries.value) > limits.PLUGINS:
        note(("plugins",), f"'plugins' has {len(entries.value):,} entries; the most are {limits.PLUGINS}")
        return []
    plugins = []
    for index, entry in enumerate(entries.value):
        here: Location = ("plugins", index)
        try:
            value, folders = by_their_places(entry, source)
            name, options = plugin_entry(value)
        except ValueError as error:
            note(here, str(error))
            continue
        if isinstance(entry.value, dict):
            here = (*here, name)
        try:
            kind = load(name)
        except FusionError as error:
            note(here, str(error), is_key=True)
            continue
        # Python's spelling of an option is for Python: in a file there is one spelling, the one of the schema.
        known = options_of(kind)
        misspelt = [key for key in options if key not in known]
        for key in misspelt:
            hint = did_you_mean(key, known) or f"; it has {', '.join(known) or 'none'}"
            note((*here, key), f"{name} has no option '{key}'{hint}", is_key=True)
        try:
            with written_elsewhere(folders):
                plugins.append(with_options(kind, {key: value for key, value in options.items() if key in known}))
        except PluginError as error:
            note(here, str(error), is_key=True)
        except ValidationError as error:
            for each in complaints(error, kind, name):
                note((*here, *each.location), each.line, each.is_key)
    return plugins
