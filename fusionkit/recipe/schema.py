"""The JSON schema of recipe files, with the options of every installed plugin."""

from __future__ import annotations

from typing import Any

from fusionkit.errors import FusionError
from fusionkit.recipe.offered import presets
from fusionkit.recipe.problems import options_of
from fusionkit.recipe.recipe import Recipe
from fusionkit.recipe.schedulers import offered_schedulers
from fusionkit.registry import load, offered

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLE = "A fusionkit recipe"
_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def recipe_schema() -> dict[str, Any]:
    """The schema; plugins that can't be imported are left out."""
    own = inline(Recipe.model_json_schema(by_alias=True))
    properties: dict[str, Any] = own["properties"]
    for each in properties.values():
        each.pop("title", None)
    properties["scheduler"] = {"description": properties["scheduler"]["description"], **_scheduler()}
    spec = properties["models"]["additionalProperties"]
    properties["models"]["additionalProperties"] = {"anyOf": [{"type": "string"}, spec]}
    properties["prompt"] = {
        "description": "What the picture shows; a list makes one picture for each.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
    }
    names = {"enum": sorted(presets())}
    preset, *others = properties["preset"]["anyOf"]
    preset["properties"]["name"] = {"description": preset["properties"]["name"]["description"], **names}
    properties["preset"]["anyOf"] = [names, preset, *others]
    entries = _plugins()
    properties["plugins"] = {
        "description": properties["plugins"]["description"],
        "anyOf": [
            {"type": "array", "items": {"anyOf": [each for entry in entries.values() for each in entry]}},
            {
                "description": "Changes to the plugins of the recipe that this one extends; false leaves one out.",
                "type": "object",
                "properties": {
                    name: {"anyOf": [entry[-1]["properties"][name], {"type": "boolean"}]}
                    for name, entry in entries.items()
                },
                "additionalProperties": False,
            },
        ],
    }
    return {
        "$schema": DIALECT,
        "title": TITLE,
        "type": "object",
        "properties": {
            "extends": {"type": "string", "description": "A recipe that this one changes: a file, or a bundled one."},
            **{name: properties[name] for name in options_of(Recipe)},
        },
        "additionalProperties": False,
    }


def type_name(schema: dict[str, Any]) -> str:
    """A type as a person would say it: `number from 0 to 1`, `one of 'a', 'b'`."""
    if "enum" in schema:
        return "one of " + ", ".join(str(each) for each in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_name(each) for each in schema["anyOf"]))
    kind = schema.get("type")
    if isinstance(schema.get("additionalProperties"), dict):
        return f"{type_name(schema['additionalProperties'])} by name"
    if kind == "array":
        return f"list of {type_name(schema.get('items', {}))}" if "items" in schema else "list"
    words = {
        "boolean": "true or false",
        "integer": "whole number",
        "null": "none",
        "object": "options",
        "string": "text",
    }
    name = words.get(str(kind), str(kind or "any"))
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    limits = [
        f"from {low:.15g}" if low is not None else "",
        f"above {above:.15g}" if above is not None else "",
        f"to {high:.15g}" if high is not None else "",
        f"below {below:.15g}" if below is not None else "",
    ]
    return " ".join([name, *(limit for limit in limits if limit)])


def _plugins() -> dict[str, list[dict[str, Any]]]:
    """For each plugin the two ways to list it: its name alone, if all its options have defaults, and with options."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in offered():
        try:
            kind = load(name)
        except FusionError:
            continue
        options = inline(kind.model_json_schema(by_alias=True))
        options.pop("title", None)
        about = (kind.__doc__ or "").strip().partition("\n")[0]
        with_options = {
            "type": "object",
            "properties": {name: {**options, "description": about}},
            "required": [name],
            "additionalProperties": False,
        }
        alone = [] if options.get("required") else [{"const": name, "description": about}]
        found[name] = [*alone, with_options]
    return found


def _scheduler() -> dict[str, Any]:
    names = list(offered_schedulers())
    return {
        "anyOf": [
            {"enum": names},
            {
                "type": "object",
                "properties": {name: {"type": ["object", "null"]} for name in names},
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ]
    }


def inline(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without references, so that schemas of several models can be put into one.

    Where a model holds others of its own kind, the inner one may be any mapping. Limits have the names that JSON schema
    gives them: pydantic leaves its own to those of a type with a validator, which nobody else knows.
    """
    definitions = schema.pop("$defs", {})

    def resolved(node: Any, within: tuple[str, ...] = ()) -> Any:
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                name = reference.rpartition("/")[2]
                whole = {"type": "object"} if name in within else resolved(definitions[name], (*within, name))
                return {**whole, **{key: value for key, value in node.items() if key != "$ref"}}
            # Of a type; a property or a default may have any name.
            named = _LIMITS if isinstance(node.get("type"), str) or isinstance(node.get("anyOf"), list) else {}
            return {named.get(key, key): resolved(value, within) for key, value in node.items()}
        return [resolved(each, within) for each in node] if isinstance(node, list) else node

    whole: dict[str, Any] = resolved(schema)
    return whole
