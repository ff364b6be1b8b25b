"""The JSON schema of recipes says what the models say."""

from __future__ import annotations

import json

from fusionkit.recipe import Recipe
from fusionkit.recipe.problems import options_of
from fusionkit.recipe.schema import recipe_schema, type_name
from fusionkit.registry import load, offered


def test_it_has_every_option_of_a_recipe_with_its_description() -> None:
    schema = recipe_schema()
    assert set(schema["properties"]) == {"extends", *options_of(Recipe)}
    assert schema["additionalProperties"] is False
    assert all(each["description"] for each in schema["properties"].values())
    assert "$ref" not in json.dumps(schema)


def test_it_has_every_plugin_with_every_option() -> None:
    entries = recipe_schema()["properties"]["plugins"]["anyOf"][0]["items"]["anyOf"]
    names = {each["const"] for each in entries if "const" in each}
    options = {name: set(body["properties"]) for each in entries for name, body in each.get("properties", {}).items()}
    assert set(options) == set(offered())
    assert names <= set(offered())
    for name in offered():
        assert options[name] == set(options_of(load(name)))


def test_limits_are_told_as_editors_know_them() -> None:
    told = json.dumps(recipe_schema())
    assert not any(f'"{name}": ' in told for name in ("ge", "gt", "le", "lt"))
    entries = recipe_schema()["properties"]["plugins"]["anyOf"][0]["items"]["anyOf"]
    (network,) = (each["properties"]["controlnet"] for each in entries if "controlnet" in each.get("properties", {}))
    assert type_name(network["properties"]["start"]) == "number from 0 to 1"


def test_schedulers_are_completed_and_options_left_to_diffusers() -> None:
    names, with_options = recipe_schema()["properties"]["scheduler"]["anyOf"]
    assert {"ddpm", "ddim", "euler-a", "DDIMScheduler"} <= set(names["enum"])
    assert set(with_options["properties"]) == set(names["enum"])


def test_a_preset_is_named_or_says_more() -> None:
    names, more, none = recipe_schema()["properties"]["preset"]["anyOf"]
    assert {"best", "fast"} <= set(names["enum"])
    assert more["properties"]["name"]["enum"] == names["enum"]
    assert none == {"type": "null"}


def test_types_in_words() -> None:
    assert type_name({"type": "number", "minimum": 0, "maximum": 1}) == "number from 0 to 1"
    assert type_name({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}) == "whole number from 1 or none"
    assert type_name({"enum": ["a", "b"]}) == "one of a, b"
    assert type_name({"type": "array", "items": {"type": "string"}}) == "list of text"
    assert type_name({}) == "any"
