"""Comparison files: what is compared, in YAML, for experiments that are run again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from fusionkit.comparison.ranges import MOST_VALUES, parse_seeds, parse_values
from fusionkit.comparison.spec import (
    SEEDS,
    Comparison,
    Source,
    collected,
    drawn_reference,
    named,
    put_together,
    read_prompts,
)
from fusionkit.errors import RecipeError, did_you_mean
from fusionkit.recipe import limits
from fusionkit.recipe.assemble import Change, find_recipe, is_picture, shown_path
from fusionkit.recipe.document import read_yaml
from fusionkit.recipe.nodes import Node
from fusionkit.recipe.problems import shown
from fusionkit.recipe.recipe_file import recipe_of, recipe_reader
from fusionkit.recipe.texts import is_file, unfit_path

KEYS = ("title", "recipe", "set", "settings", "vary", "prompts", "seeds", "reference", "metrics", "features")


def bundled_comparisons() -> dict[str, Path]:
    """The comparisons that come with fusionkit, by name: `papers/table-1-tinyworld`."""
    folder = Path(str(files("fusionkit.recipes.papers")))
    return {f"papers/{path.stem}": path for path in sorted(folder.glob("*.yaml"))}


def find_comparison(source: str) -> Path | None:
    """The file of a comparison: a path, or the name of a bundled one; None where the source is a recipe, or nothing.

    Raises:
        RecipeError: A file can't be read.
    """
    if unfit_path(source):
        return None  # reading it as a recipe tells why
    if is_picture(path := Path(source).expanduser()):
        return None  # it may carry a recipe
    if is_file(path):
        document = read_yaml(path, shown_path(path))
        return path if isinstance(document.value, dict) and is_comparison(document.value) else None
    return bundled_comparisons().get(source)


def is_comparison(entries: Mapping[str, Any]) -> bool:
    """Whether a document says what to compare, rather than what to draw."""
    return bool({"settings", "vary", "recipe"} & set(entries))


def read_comparison(path: Path, sets: Sequence[Change] = (), seeds: str | None = None) -> Comparison:
    """A comparison from its file.

    Args:
        path: The file.
        sets: Changes to all settings.
        seeds: Other seeds than the file's.

    Raises:
        RecipeError: All problems, each with its place.
    """
    document = read_yaml(path, shown_path(path))
    if not isinstance(document.value, dict):
        raise RecipeError(
            [f"{document.place}: a comparison is a mapping such as 'recipe: panorama', not {shown(document.plain())}"]
        )
    return _Reader(path, document).comparison(sets, seeds)


class _Reader:
    """Reads one file, and collects what is wrong with it."""

    def __init__(self, path: Path, document: Node) -> None:
        self.path, self.document = path, document
        self.entries: dict[str, Node] = dict(document.value)
        self.problems: list[str] = []

    def comparison(self, sets: Sequence[Change], seeds: str | None) -> Comparison:
        """The comparison, once all of it is right."""
        for key, node in self.entries.items():
            if key not in KEYS:
                self.problems.append(f"{node.key}: a comparison has no option '{key}'{did_you_mean(key, KEYS)}")
        for key in [key for key, node in self.entries.items() if node.value is None]:
            place = self.entries.pop(key).key
            self.problems.append(f"{place}: '{key}' is empty; give it a value, or leave it out")
        base = self.base()
        settings = [
            (title, self.changes(node, f"settings.{title}")) for title, node in self.mapping("settings").items()
        ] or [("", [])]
        common = [*self.changes(self.entries["set"], "set"), *sets] if "set" in self.entries else list(sets)
        varied = [self.values(key, node) for key, node in self.mapping("vary").items()]
        numbers = self.seeds("seeds", SEEDS) if seeds is None else self.ask(parse_seeds, seeds, "--seeds")
        prompts, reference = self.prompts(), self.mapping("reference")
        for key in reference.keys() - {"seeds"}:
            self.problems.append(f"{reference[key].key}: 'reference' has no option '{key}'; it has seeds")
        reference_seeds = self.seeds("seeds", "", reference) if reference else []
        metrics, features = self.plain("metrics", list), self.plain("features", str)
        title = self.plain("title", str) or self.path.stem
        if self.problems or base is None:
            raise RecipeError(self.problems)

        sources = [Source(self.path.stem, base, title, changes) for title, changes in settings]
        found = put_together(title, sources, varied, common, prompts, numbers)
        return replace(
            found,
            reference=drawn_reference(found.settings[0], reference_seeds) if reference_seeds else None,
            reference_seeds=reference_seeds,
            metrics=metrics,
            features=features,
        )

    def base(self) -> Any:
        """A function that reads the recipe that all settings start from, with changes."""
        node = self.entries.get("recipe")
        if node is None:
            self.problems.append(
                f"{self.document.place}: a comparison needs 'recipe': a name, a path, or a recipe itself"
            )
        elif isinstance(node.value, dict):
            name, source = self.path.stem, shown_path(self.path)
            return lambda changes: recipe_of(node.value, self.path.parent, name, source, changes)
        elif isinstance(node.value, str):
            try:
                path = find_recipe(node.value, self.path.parent)
            except RecipeError as error:
                self.problems += [f"{node.place}: {line}" for line in error.problems]
            else:
                return recipe_reader(path)
        else:
            self.problems.append(
                f"{node.place}: 'recipe' must be a name, a path, or a recipe, not {shown(node.plain())}"
            )
        return None

    def mapping(self, key: str) -> dict[str, Node]:
        """The entries of a key that holds a mapping; none where it is missing."""
        node = self.entries.get(key)
        if node is not None and not isinstance(node.value, dict):
            self.problems.append(f"{node.place}: '{key}' must be a mapping, not {shown(node.plain())}")
            return {}
        return {} if node is None else node.value

    def changes(self, node: Node, what: str) -> list[Change]:
        """What a mapping changes in a recipe."""
        if node.value is None:
            return []
        if not isinstance(node.value, dict):
            self.problems.append(
                f"{node.place}: '{what}' must be a mapping of changes, such as {{steps: 30}}, not {shown(node.plain())}"
            )
            return []
        return list(node.value.items())

    def values(self, key: str, node: Node) -> list[Change]:
        """The values of a varied key: a list, or a text such as 0:1:0.1."""
        if isinstance(node.value, list):
            if not node.value or len(node.value) > MOST_VALUES:
                what = "no values to vary" if not node.value else f"more than {MOST_VALUES} values"
                self.problems.append(f"{node.place}: '{key}' has {what}")
            return [(key, value) for value in node.value]
        if isinstance(node.value, str):
            texts = self.ask(parse_values, node.value, f"{node.place}: '{key}'")
            # As `--vary` reads them.
            from fusionkit.recipe.assemble import parse_value

            return [(key, parse_value(key, text, node.place)) for text in texts or ()]
        return [(key, node)]

    def seeds(self, key: str, default: str, entries: Mapping[str, Node] | None = None) -> list[int]:
        """The seeds of a key: a text such as 0-9, a number, or a list of numbers."""
        node = (self.entries if entries is None else entries).get(key)
        if node is None:
            return parse_seeds(default) if default else []
        value = node.plain()
        text = ",".join(str(each) for each in value) if isinstance(value, list) else str(value)
        if isinstance(value, list) and not all(type(each) is int or isinstance(each, str) for each in value):
            self.problems.append(f"{node.place}: '{key}' must be a list of numbers, not {shown(value)}")
            return []
        return self.ask(parse_seeds, text, f"{node.place}: '{key}'") or []

    def prompts(self) -> list[str] | None:
        """The prompts: a list, or the path of a text file; None where the recipe's count."""
        node = self.entries.get("prompts")
        if node is None:
            return None
        if isinstance(node.value, str):
            if problem := unfit_path(node.value):
                self.problems.append(f"{node.place}: 'prompts' {problem}")
                return None
            file = self.path.parent / Path(node.value).expanduser()
            found: list[str] | None = collected(self.problems, lambda: read_prompts(file))
            return found
        texts = node.plain()
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            self.problems.append(f"{node.place}: 'prompts' must be a list of texts, or a text file with one a line")
            return None
        if len(texts) > limits.PROMPTS:
            self.problems.append(f"{node.place}: 'prompts' has {len(texts):,} prompts; the most are {limits.PROMPTS:,}")
        return list(dict.fromkeys(texts))

    def plain(self, key: str, kind: type) -> Any:
        """A key's value, of a type; None where it is missing."""
        node = self.entries.get(key)
        if node is None:
            return None
        value = node.plain()
        if not isinstance(value, kind):
            self.problems.append(
                f"{node.place}: '{key}' must be a {kind.__name__}, not {shown(value)}".replace("str,", "text,")
            )
            return None
        return value

    def ask(self, parse: Any, text: str, what: str) -> Any:
        """What a parser reads, or None with its complaint noted."""
        return collected(self.problems, lambda: named(parse, text, what))
