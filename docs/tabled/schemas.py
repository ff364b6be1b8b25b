"""Tables of keys and options: what each takes, its default and its meaning, by the schemas of pydantic's models."""

from __future__ import annotations

from typing import Any

from fusionkit.recipe.schema import inline
from tabled.markdown import rows, written


def kind(schema: dict[str, Any]) -> str:
    """What a JSON schema accepts, in a few words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind(one) for one in schema["anyOf"] if one != {"type": "null"}))
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"]) if len(schema["enum"]) < 6 else "name"
    if schema.get("type") == "array":
        return "list"
    if schema.get("type") == "object":
        return "mapping"
    if schema.get("type") == "string":
        return "`WIDTHxHEIGHT`" if "pattern" in schema else "text"
    name = {"integer": "integer", "number": "number", "boolean": "`true` or `false`"}.get(schema.get("type", ""), "any")
    limits = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    return " ".join([name, *(f"{word} {schema[key]:.15g}" for key, word in limits.items() if key in schema)])


def default(schema: dict[str, Any]) -> str:
    """A default value as a recipe writes it."""
    value = schema.get("default")
    if "pattern" in schema and isinstance(value, list):
        value = "x".join(str(side) for side in value)
    if value in (None, "", [], {}):
        return ""
    return f"`{written(value)}`"


def fields(model: Any, header: str) -> str:
    """The fields of a pydantic model: name, what it takes, default, meaning."""
    return properties(inline(model.model_json_schema(by_alias=True))["properties"], header)


def properties(schemas: dict[str, dict[str, Any]], header: str) -> str:
    """The properties of a JSON schema, likewise."""
    return rows(
        [header, "takes", "default", "meaning"],
        [[f"`{name}`", kind(field), default(field), field.get("description", "")] for name, field in schemas.items()],
    )


def keys_of(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The keys of a value that is a mapping, or of each value in a list or a mapping by name."""
    if "properties" in schema:
        found: dict[str, dict[str, Any]] = schema["properties"]
        return found
    inner = [schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", ())]
    return next((keys for each in inner if isinstance(each, dict) and (keys := keys_of(each))), {})


def options(name: str, part: str = "") -> str:
    """The options of a plugin, or the keys of one of its options that is a mapping."""
    from fusionkit.registry import load

    plugin = load(name)
    if part:
        schema = inline(plugin.model_json_schema(by_alias=True))
        return properties(keys_of(schema["properties"][part]), "key")
    return fields(plugin, "option") if plugin.model_fields else "It has no options.\n"


def recipe() -> str:
    """The keys of a recipe file."""
    from fusionkit.recipe.schema import recipe_schema

    return properties(recipe_schema()["properties"], "key")


def lora() -> str:
    """The keys of a LoRA in a recipe."""
    from fusionkit.recipe import Lora

    return fields(Lora, "key")


def cache() -> str:
    """The keys of a step cache in a recipe."""
    from fusionkit.recipe import Cache

    return fields(Cache, "key")


def model() -> str:
    """The keys of one of several models in a recipe."""
    from fusionkit.recipe import ModelSpec

    return fields(ModelSpec, "key")
