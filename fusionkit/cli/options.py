"""The options of a plugin as `fusionkit plugins NAME` shows them, those of its options among them."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from fusionkit.recipe.schema import inline, type_name

if TYPE_CHECKING:
    from fusionkit.plugin import Plugin


def options_of_plugin(kind: type[Plugin]) -> list[str]:
    """Each option with its type, default and description, and those that it is made of: `blend.from`."""
    if not kind.model_fields:
        return []
    properties = inline(kind.model_json_schema(by_alias=True))["properties"]
    lines: list[str] = []
    for name, field in kind.model_fields.items():
        alias = field.alias or name
        default = "required" if field.is_required() else f"default {as_yaml(_default(kind, name))}"
        lines += _option(alias, properties.get(alias, {}), default, field.description or "")
    return lines


def example(kind: type[Plugin]) -> str:
    """One option with its default, as a recipe would give it."""
    name, field = next(iter(kind.model_fields.items()))
    default = None if field.is_required() else _default(kind, name)
    return f"{field.alias or name}: {'...' if default is None else as_yaml(default)}"


def as_yaml(value: Any) -> str:
    """A value on one line, as a recipe would give it; keys that say nothing are left out."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {as_yaml(each)}" for key, each in value.items() if each is not None) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_yaml, value))}]"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _option(name: str, schema: dict[str, Any], default: str, description: str) -> Iterator[str]:
    yield f"  {name}: {type_name(schema)}, {default}"
    yield from (f"      {line}" for line in wrap(description, 100))
    for path, made_of in _made_of(schema, name):
        for key, each in made_of["properties"].items():
            required = key in made_of.get("required", ())
            default = "required" if required else f"default {as_yaml(each.get('default'))}"
            yield from _option(f"{path}.{key}", each, default, each.get("description", ""))


def _made_of(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schemas with keys of their own that a value, or each value of a list or mapping, may have; and where."""
    if "properties" in schema:
        yield path, schema
    for each in schema.get("anyOf", ()):
        yield from _made_of(each, path)
    if isinstance(items := schema.get("items"), dict):
        yield from _made_of(items, f"{path}[]")
    if isinstance(values := schema.get("additionalProperties"), dict):
        yield from _made_of(values, f"{path}.NAME")


def _default(kind: type[Plugin], name: str) -> Any:
    from pydantic_core import to_jsonable_python

    plugin: Plugin = kind.model_construct()
    dumped: dict[str, Any] = to_jsonable_python({name: getattr(plugin, name)}, by_alias=True, fallback=repr)
    return dumped[name]
