"""Controls made of JSON schemas, so that whatever plugin is installed gets its form without a line of its own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from fusionkit.errors import FusionError
from fusionkit.recipe.schema import inline, recipe_schema, type_name
from fusionkit.registry import load, offered, package_of

Schema = Mapping[str, Any]
Control = dict[str, Any]

_SCALARS = {"boolean": "switch", "integer": "integer", "number": "number", "string": "text"}
_LIMITS = {
    "minimum": ("minimum", "ge"),
    "maximum": ("maximum", "le"),
    "above": ("exclusiveMinimum", "gt"),
    "below": ("exclusiveMaximum", "lt"),
}
# What the studio says itself: where pictures go, and what they replace.
OURS = ("extends", "output", "overwrite", "preview-every", "plugins")


def control(schema: Schema) -> Control:
    """What a value is edited with.

    Args:
        schema: A JSON schema without references.

    Returns:
        `kind` is one of: `switch`, `integer`, `number`, `choice`, `text`, `path`, `word` (a number or a text),
        `numbers` (so many as `count`), `list` (of `item`), `mapping` (of `item` by name), `group` (of `fields`),
        `either` (one of `ways`), and `yaml` for all else. `optional` says that it may be left empty; limits,
        default and help are there where the schema has them.
    """
    found: Control = {"help": str(schema.get("description", "")).partition("\n")[0], "optional": False}
    if "default" in schema:
        found["default"] = schema["default"]
    for name, keys in _LIMITS.items():
        if (limit := next((schema[key] for key in keys if key in schema), None)) is not None:
            found[name] = limit
    return {**found, **_shape(schema)}


def fields(schema: Schema) -> list[Control]:
    """The controls of an object's properties, with their names; those that must be filled in first."""
    needed = schema.get("required", [])
    made = [{**control(each), "name": name, "required": name in needed} for name, each in schema["properties"].items()]
    return sorted(made, key=lambda each: not each["required"])


def recipe_fields() -> list[Control]:
    """The controls of a recipe's own keys, without those that the studio says."""
    schema = recipe_schema()
    own = {name: each for name, each in schema["properties"].items() if name not in OURS}
    return fields({"properties": own})


def plugins() -> list[dict[str, Any]]:
    """Every installed plugin with its summary, its package and its controls; of one that is broken, why."""
    found = []
    for name, entry in offered().items():
        told: dict[str, Any] = {"name": name, "package": package_of(entry), "about": "", "fields": [], "broken": None}
        try:
            kind = load(name)
            told["about"] = (inspect.getdoc(kind) or "").partition("\n")[0]
            told["fields"] = fields({"properties": {}, **inline(kind.model_json_schema(by_alias=True))})
        except FusionError as error:
            told["broken"] = str(error)
        found.append(told)
    return found


def _shape(schema: Schema) -> Control:
    if "anyOf" in schema:
        return _union([each for each in schema["anyOf"] if each.get("type") != "null"], schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return {"kind": "choice", "choices": list(schema.get("enum", [schema.get("const")]))}
    kind = schema.get("type")
    if isinstance(kind, list):
        return _shape({"anyOf": [{**schema, "type": each} for each in kind]})
    if kind == "string":
        return {"kind": "path" if schema.get("format") == "path" else "text", "example": _example(schema)}
    if kind in _SCALARS:
        return {"kind": _SCALARS[kind]}
    if kind == "array":
        return _array(schema)
    if kind == "object" and "properties" in schema and schema.get("maxProperties") is None:
        return {"kind": "group", "fields": fields(schema)}
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return {"kind": "mapping", "item": control(schema["additionalProperties"])}
    return {"kind": "yaml", "example": type_name(dict(schema))}


def _union(ways: Sequence[Schema], all_of_them: Sequence[Schema]) -> Control:
    optional = len(ways) < len(all_of_them)
    if len(ways) == 1:
        only = control(ways[0])
        # The option's own help and default count.
        return {**{name: each for name, each in only.items() if name not in ("help", "default")}, "optional": optional}
    if all(_is_scalar(each) for each in ways):
        known = [value for each in ways for value in each.get("enum", [each["const"]] if "const" in each else [])]
        words = " or ".join(dict.fromkeys(type_name(dict(each)) for each in ways))
        return {"kind": "word", "choices": known, "example": words, "optional": optional}
    made = [{**control(each), "label": type_name(dict(each))} for each in ways]
    return {"kind": "either", "ways": made, "optional": optional}


def _array(schema: Schema) -> Control:
    parts = schema.get("prefixItems")
    count = len(parts) if parts else schema.get("maxItems")
    item = parts[0] if parts else schema.get("items", {})
    if count is not None and schema.get("minItems") == count and _is_number(item):
        return {"kind": "numbers", "count": count, "item": control(item)}
    if _is_scalar(item) or item.get("type") == "object":
        return {"kind": "list", "item": control(item)}
    return {"kind": "yaml", "example": type_name(dict(schema))}


def _is_number(schema: Schema) -> bool:
    if "anyOf" in schema:
        return all(_is_number(each) for each in schema["anyOf"])
    return schema.get("type") in ("integer", "number")


def _is_scalar(schema: Schema) -> bool:
    if "anyOf" in schema:
        return all(_is_scalar(each) for each in schema["anyOf"])
    return "enum" in schema or "const" in schema or schema.get("type") in (*_SCALARS, "null")


def _example(schema: Schema) -> str:
    return str(next(iter(schema.get("examples", [])), ""))
