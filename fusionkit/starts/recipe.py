"""A new recipe's file, in which each key and each option of a plugin says what it is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusionkit.starts.templating import SUFFIX, environment

if TYPE_CHECKING:
    from fusionkit.plugin import Plugin
    from fusionkit.recipe.recipe import Recipe

FIRST_MODEL = "vista/scenes"
"""Of a recipe that is told none: it is in the package, so that the recipe runs as it is."""

WIDTH = 110
"""Letters of a line; longer mappings are written with a key a line."""

# What a reader changes first, and so stands in every recipe; `name` is the file's.
_MAIN = ("model", "models", "prompt", "size", "scheduler", "steps", "guidance-scale", "seed", "output")
_LEFT_OUT = ("name", "plugins")
_KEY = "key"


@dataclass(frozen=True)
class Key:
    """A key with its value.

    Args:
        name: As YAML spells it.
        text: `: ` and the value, on one line or several; or a colon alone where there is none.
        about: What it is for, in lines.
        given: Whether the recipe says it; otherwise the value is the default, and the line is a comment.
    """

    name: str
    text: str
    about: Sequence[str]
    given: bool


@dataclass(frozen=True)
class Entry:
    """A plugin of the recipe: its name, what it does, and all of its options."""

    name: str
    about: Sequence[str]
    options: Sequence[Key]

    @property
    def is_told(self) -> bool:
        """Whether any of its options is given."""
        return any(option.given for option in self.options)


def recipe_text(recipe: Recipe, file: str) -> str:
    """The text of a recipe, each of its keys explained.

    Args:
        recipe: The recipe, complete.
        file: What its file is called, for the command in its first line.
    """
    keys = list(_keys(recipe))
    return (
        environment()
        .get_template(f"recipe.yaml{SUFFIX}")
        .render(
            file=file,
            main=[key for key in keys if key.given],
            rest=[key for key in keys if not key.given],
            plugins=[_entry(plugin) for plugin in recipe.plugins],
            about_plugins=_wrapped(type(recipe).model_fields["plugins"].description or "", ""),
        )
    )


def _keys(recipe: Recipe) -> Iterator[Key]:
    given, defaults = ({**each.dump(), **_where(each)} for each in (recipe, type(recipe)()))
    for name, field in type(recipe).model_fields.items():
        key = field.alias or name
        if key in _LEFT_OUT:
            continue
        value = given.get(key)
        says = value not in (None, "", [], {}) and (key in _MAIN or value != defaults.get(key))
        text = _valued(value if says else defaults.get(key), 2)
        yield Key(key, text, _wrapped(field.description or "", ""), says)


def _where(recipe: Recipe) -> dict[str, Any]:
    """What a recipe says of its picture's place."""
    return {"output": str(recipe.output), "overwrite": recipe.overwrite, "preview-every": recipe.preview_every}


def _entry(plugin: Plugin) -> Entry:
    from fusionkit.recipe.schema import inline, type_name

    kind = type(plugin)
    given = plugin.options()
    schemas: Mapping[str, Any] = inline(kind.model_json_schema(by_alias=True)).get("properties", {})
    options = []
    for name, field in kind.model_fields.items():
        key = field.alias or name
        schema = schemas.get(key, {})
        about = f"{field.description or ''} ({type_name(schema).removesuffix(' or none')})"
        value = given[key] if key in given else schema.get("default")
        options.append(Key(key, _valued(value, 8), _wrapped(about, 6 * " "), key in given))
    about = (kind.__doc__ or "").strip().partition("\n")[0]
    return Entry(kind.plugin_name, _wrapped(about, "  "), options)


def _wrapped(text: str, indent: str) -> list[str]:
    from textwrap import wrap

    return wrap(text, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ", break_on_hyphens=False)


def _valued(value: Any, indent: int) -> str:
    """What stands behind a key: on its line, or, of a long mapping, below it, so many spaces farther in."""
    if value is None:
        return ":"
    line = _on_one_line(value)
    if not (isinstance(value, dict) and len(line) + indent > WIDTH):
        return f": {line}"
    return ":" + "".join(
        f"\n{' ' * indent}{_on_one_line(key)}{_valued(each, indent + 2)}" for key, each in value.items()
    )


def _on_one_line(value: Any) -> str:
    """A value as YAML on one line."""
    from io import StringIO

    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.width, yaml.allow_unicode = 2**30, True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # said to be of its default's type
    yaml.default_flow_style = True
    # A document of its own would end in a mark, and a mapping in a list may lose its braces.
    yaml.dump({_KEY: value}, stream := StringIO())
    return stream.getvalue().strip().removeprefix(f"{{{_KEY}: ").removesuffix("}")
