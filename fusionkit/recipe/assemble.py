"""Puts a recipe together: where its file is, what it extends, and what the command line changes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from fusionkit.errors import RecipeError, did_you_mean
from fusionkit.recipe import limits
from fusionkit.recipe.document import parse_yaml, read_yaml
from fusionkit.recipe.nodes import Node, Place
from fusionkit.recipe.problems import shown
from fusionkit.recipe.texts import PICTURES, is_file, is_folder, unfit_line, unfit_path, unfit_text

# Their values are text even where YAML would see something else: `--set prompt="a sign: no entry"`.
_TEXT_KEYS = frozenset(
    {"base", "device", "model", "name", "negative-prompt", "output", "prompt", "revision", "size", "variant", "window"}
)
# Of those, what can be taken away by a word, since no text of theirs is such a word.
_UNSET_KEYS = frozenset({"base", "revision", "size", "variant", "window"})
_NOTHING = frozenset({"", "~", "null", "Null", "NULL", "false", "False", "FALSE", "''", '""'})
_QUOTED = re.compile(r"""\s*(?:'(?:[^']|'')*'|"(?:[^"\\]|\\.)*")\s*""", re.DOTALL)
_LISTED = re.compile(r"\s*\[.*\]\s*", re.DOTALL)


STANDARD_INPUT = "standard input"
"""What errors call a recipe that comes from there."""

Change = tuple[str, Node]
"""One change to a recipe: a key such as `plugins.style-alignment.alpha`, and what it becomes."""

Reader = Callable[[Path], dict[str, Node]]
"""Reads the entries of a recipe's file."""
ONE_OF = {"device": "devices", "devices": "device"}
"""Keys of which a change takes the place of another key."""


def bundled_recipes() -> dict[str, Path]:
    """The recipes that come with fusionkit, by name."""
    folder = Path(str(files("fusionkit.recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def shown_path(path: Path) -> str:
    """A path as errors show it: relative where it is inside the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def find_recipe(source: str | Path, beside: Path | None = None) -> Path:
    """The file of a recipe: a path, or the name of a bundled one.

    Args:
        source: What the user wrote.
        beside: The folder that a path is relative to; None is the current one.

    Raises:
        RecipeError: There is none; a near name is suggested.
    """
    if problem := unfit_path(str(source)):
        raise RecipeError([f"no recipe {shown(str(source))}: the name {problem}"])
    path = (beside or Path()) / Path(source).expanduser()
    if is_file(path):
        return path
    if is_folder(path):
        raise RecipeError([f"'{source}' is a folder, not a recipe"])
    bundled = bundled_recipes()
    if str(source) in bundled:
        return bundled[str(source)]
    if os.path.exists(path):
        raise RecipeError([f"'{source}' is no regular file, so no recipe"])
    folder = Path(source).parent
    files_there = [str(folder / each.name) for each in sorted(path.parent.glob("*.y*ml"))]
    hint = did_you_mean(str(source), [*bundled, *files_there]) or did_you_mean(Path(source).stem, bundled)
    other = "; there is no such file, and no bundled recipe of that name (see 'fusionkit recipes')"
    raise RecipeError([f"no recipe '{source}'{hint or other}"])


def mapping_of(node: Node) -> dict[str, Node]:
    """The entries of a recipe's document.

    Raises:
        RecipeError: It is empty, or no mapping.
    """
    if node.value is None:
        raise RecipeError([f"{node.place.source}: is empty; a recipe has at least a model and a prompt"])
    if not isinstance(node.value, dict):
        found = "a list" if isinstance(node.value, list) else shown(node.value)
        raise RecipeError([f"{node.place}: a recipe is a mapping such as 'model: vista/scenes', not {found}"])
    return node.value


def is_picture(path: Path) -> bool:
    """Whether a file is a picture that may carry a recipe, by its name."""
    return path.suffix.lower() in PICTURES


def own_entries(path: Path) -> dict[str, Node]:
    """The entries of a recipe's own file.

    Raises:
        RecipeError: It can't be read, or is a picture.
    """
    name = shown_path(path)
    if is_picture(path):
        raise RecipeError([f"{name}: is a picture; write its recipe into a file: fusionkit recipes {name} > mine.yaml"])
    return mapping_of(read_yaml(path, name))


def assembled(path: Path, chain: tuple[Path, ...] = (), read: Reader = own_entries) -> dict[str, Node]:
    """A recipe's entries, together with those of the recipes that it extends.

    What a recipe gives replaces what the extended one gives; `plugins` as a mapping changes its plugins one by one.

    Raises:
        RecipeError: A file can't be read, is missing, or extends itself.
    """
    return extended(read(path), path.parent, (*chain, path.resolve()), read)


def extended(
    entries: Mapping[str, Node], beside: Path, chain: tuple[Path, ...] = (), read: Reader = own_entries
) -> dict[str, Node]:
    """A recipe's entries, together with those of the recipes that they extend.

    Args:
        entries: What the recipe itself gives.
        beside: The folder that the extended recipe's path is relative to.
        chain: The files that led here.
        read: Reads those that are extended.

    Raises:
        RecipeError: A file can't be read, is missing, or extends itself.
    """
    tree = dict(entries)
    if "settings" in tree or "vary" in tree:
        source = next(iter(tree.values())).place.source
        file = "FILE" if source == STANDARD_INPUT else source
        raise RecipeError([f"{source}: is a comparison, not a recipe; run it with: fusionkit compare {file}"])
    extends = tree.pop("extends", None)
    if extends is None:
        return tree
    if not isinstance(extends.value, str):
        raise RecipeError([f"{extends.place}: 'extends' is the name of one recipe, not {shown(extends.plain())}"])
    try:
        base_path = find_recipe(extends.value, beside)
    except RecipeError as error:
        raise RecipeError([f"{extends.place}: {line}" for line in error.problems]) from None
    if len(chain) > limits.EXTENDED:
        raise RecipeError([f"{extends.place}: more than {limits.EXTENDED} recipes extend each other"])
    if base_path.resolve() in chain:
        circle = " -> ".join(each.name for each in (*chain, base_path))
        raise RecipeError([f"{extends.place}: recipes extend each other in a circle: {circle}"])
    base = assembled(base_path, chain, read)
    base.pop("name", None)
    # Which models there are is said once: a recipe with `model` replaces `models`, and the other way round.
    for given, replaced in (("model", ("models",)), ("models", ("model", "base", "revision", "variant", "loras"))):
        if given in tree:
            for key in replaced:
                base.pop(key, None)
    for given, other in ONE_OF.items():
        if given in tree:
            base.pop(other, None)
    # A key of no value takes out what the extended recipe says, so that its default applies; as --set does.
    for key in [key for key, node in tree.items() if node.value is None and key in base]:
        del tree[key], base[key]
    if "preset" in tree:
        changed = tree["plugins"].value if "plugins" in tree else None
        parts = [f"plugins.{name}" for name in changed] if isinstance(changed, dict) else []
        tree["preset"] = over(tree["preset"], base, [*(key for key in tree if key != "plugins" or not parts), *parts])
    changes = tree.get("plugins")
    if changes is not None and isinstance(changes.value, dict):
        tree["plugins"] = _changed(base.get("plugins", Node([], changes.place, changes.key)), changes.value)
    return {**base, **tree}


def over(preset: Node, entries: Mapping[str, Node], said: Sequence[str]) -> Node:
    """A preset that may replace what a recipe gives, but for what is said where the preset is named.

    Args:
        preset: Its name; what says more than that is left as it is.
        entries: The recipe's entries.
        said: Keys that are said beside the preset, as `--set` has them.
    """
    if not isinstance(preset.value, str):
        return preset
    from fusionkit.recipe.presets import outranked

    found = entries["plugins"].value if "plugins" in entries else []
    plugins = [
        (name, _options(each)) for each in (found if isinstance(found, list) else []) if (name := plugin_name(each))
    ]
    keys = outranked(entries, plugins, said)
    parts = {"name": preset.value, **({"over": keys} if keys else {})}
    return Node({key: Node.of(value, preset.place) for key, value in parts.items()}, preset.place, preset.key)


def _options(entry: Node) -> list[str]:
    """The options that an entry of a recipe's plugins gives."""
    inner = next(iter(entry.value.values()), None) if isinstance(entry.value, dict) else None
    return list(inner.value) if isinstance(inner, Node) and isinstance(inner.value, dict) else []


def parse_change(change: str, option: str = "--set") -> Change:
    """`KEY=VALUE` as a key and its value.

    Args:
        change: The text.
        option: The option of the command line that it was given to, for errors.

    Raises:
        RecipeError: It is not of that form, or the value is no YAML.
    """
    key, equals, text = change.partition("=")
    key = key.strip()
    if not equals or not key:
        raise RecipeError([f"{option} {one_line(change)}: write it as KEY=VALUE, such as steps=30"])
    if problem := unfit_line(key):
        raise RecipeError([f"{option} {one_line(key)}: the key {problem}"])
    return key, parse_value(key, text, Place(f"{option} {key}"))


def parse_value(key: str, text: str, place: Place) -> Node:
    """The value that a text stands for, for a key of a recipe.

    A prompt and other texts are taken as they are, unless the whole value is quoted or a list in brackets.

    Raises:
        RecipeError: It is no YAML.
    """
    first, *_, last = [*key.split("."), key.rpartition(".")[2]]
    if first == key or first == "models":
        if last in _UNSET_KEYS and text.strip() in _NOTHING:
            return Node(None, place, place)
        if last in _TEXT_KEYS and not _QUOTED.fullmatch(text) and not _LISTED.fullmatch(text):
            if problem := unfit_text(text):
                raise RecipeError([f"{place}: the text {problem}"])
            return Node(text, place, place)
        if first == key and not text.strip():
            raise RecipeError([f"{place}: '{key}' is empty; give it a value, or null to leave the key out"])
    return parse_yaml(text, place.source, place)


def one_line(text: str) -> str:
    """A text as errors can show it, in one line of at most 60 letters."""
    return shown(text, 60)[1:-1]


def set_option(tree: dict[str, Node], change: Change) -> None:
    """Change a recipe's entries, where the key may be `plugins.NAME.OPTION` or `scheduler.NAME.OPTION`.

    Raises:
        RecipeError: The change is of something that the recipe does not have.
    """
    key, value = change
    place = value.place
    first, *rest = key.split(".")
    if len(rest) > limits.DEPTH or not all(rest):
        raise RecipeError([f"{place}: no key of a recipe; write KEY, plugins.NAME.OPTION or models.NAME.KEY"])
    if not rest and value.value is None:
        tree.pop(first, None)
    elif not rest:
        tree[first] = value
        tree.pop(ONE_OF.get(first, ""), None)
    elif first == "plugins":
        for part in reversed(rest[1:]):
            value = Node({part: value}, place, place)
        tree["plugins"] = _changed(tree.get("plugins", Node([], place, place)), {rest[0]: value}, len(rest) == 1)
    elif first == "models":
        for part in reversed(rest):
            value = Node({part: value}, place, place)
        tree["models"] = _merged(_spelled_out(tree["models"], rest), value) if "models" in tree else value
    elif first == "scheduler":
        name, *inner = rest
        old = tree["scheduler"].value if "scheduler" in tree else None
        for part in reversed(inner):
            value = Node({part: value}, place, place)
        given = old[name] if isinstance(old, dict) and name in old else Node({}, place, place)
        tree["scheduler"] = Node({name: _merged(given, value) if inner else value}, place, place)
    else:
        raise RecipeError([f"{place}: '{first}' is set as a whole: {first}=..."])


def plugin_name(entry: Node) -> str | None:
    """The name of an entry of a recipe's plugins; None where it is no such entry."""
    if isinstance(entry.value, dict):
        return next(iter(entry.value), None)
    return entry.value if isinstance(entry.value, str) else None


def _changed(plugins: Node, changes: Mapping[str, Node], may_add: bool = True) -> Node:
    """A recipe's plugins with changes by name: options are merged, `false` removes, a new name is added at the end."""
    if not isinstance(plugins.value, list):
        return plugins
    entries = list(plugins.value)
    for name, change in changes.items():
        names = [plugin_name(entry) for entry in entries]
        if names.count(name) > 1:
            raise RecipeError([f"{change.key}: '{name}' is {names.count(name)} times in the recipe; change the file"])
        if name not in names and (change.value is False or not may_add):
            known = [each for each in names if each]
            raise RecipeError([f"{change.key}: the recipe has no plugin '{name}'{_how_to_add(name, known, change)}"])
        if change.value is False:
            del entries[names.index(name)]
            continue
        options = Node({}, change.place, change.key) if change.value in (True, None) else change
        if name in names:
            old = entries[names.index(name)]
            given = old.value[name] if isinstance(old.value, dict) else Node({}, old.place, old.key)
            # What is no mapping replaces the entry, and is what is wrong with it.
            where = old if isinstance(options.value, dict) else options
            entries[names.index(name)] = Node({name: _merged(given, options)}, where.place, where.key)
        else:
            entries.append(Node({name: options}, change.place, change.key))
    return Node(entries, plugins.place, plugins.key)


def _how_to_add(name: str, known: Sequence[str], change: Node) -> str:
    """How a plugin gets into a recipe that does not have it; or which ones it has."""
    from fusionkit.registry import offered

    if change.value is not False and name in offered():
        option = next(iter(change.value), "") if isinstance(change.value, dict) else ""
        return f"; to add it, set it as a whole: plugins.{name}={{{option}: ...}}" if option else ""
    return did_you_mean(name, known) or f"; it has {', '.join(known) or 'none'}"


def _spelled_out(models: Node, key: Sequence[str]) -> Node:
    """A recipe's models, of which the one that gets a key of its own is a mapping, if it was its source alone."""
    old = models.value.get(key[0]) if isinstance(models.value, dict) else None
    if old is None or not isinstance(old.value, str) or len(key) < 2:
        return models
    return Node({**models.value, key[0]: Node({"model": old}, old.place, old.key)}, models.place, models.key)


def _merged(old: Node, new: Node) -> Node:
    """Two values, mappings entry by entry, all else replaced."""
    if not (isinstance(old.value, dict) and isinstance(new.value, dict)):
        return new
    both = dict(old.value)
    for name, node in new.value.items():
        both[name] = _merged(both[name], node) if name in both else node
    return Node(both, old.place, old.key)
