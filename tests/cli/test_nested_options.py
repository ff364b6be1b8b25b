"""Options of plugins that are made of options: `fusionkit plugins`, the JSON schema and the documentation show them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from pydantic import BaseModel

from fusionkit import Field, PicturePath, Plugin
from fusionkit.cli.options import as_yaml, example, options_of_plugin
from fusionkit.recipe import Part
from fusionkit.recipe.schema import inline, recipe_schema
from fusionkit.registry import load, offered

DOCS = Path(__file__).parents[2] / "docs"


class Leaf(Part):
    prompt: str = Field(description="What it shows.")
    skip_below: float = Field(default=0.5, ge=0, description="Where it ends.")
    leaves: list[Leaf] = Field(default=[], description="More of them.")


class Tree(Plugin):
    root: Leaf | None = Field(default=None, description="Where it begins.")
    named: dict[str, Leaf] = Field(default={}, description="Leaves by name.")
    listed: tuple[Leaf, ...] = Field(default=(Leaf(prompt="a"),), description="Leaves in order.")
    files: dict[str, PicturePath] = Field(default={}, description="Pictures by name.")


def test_they_are_shown_with_the_way_that_leads_to_them() -> None:
    lines = [line.strip() for line in options_of_plugin(Tree) if not line.startswith("      ")]
    inner = ["prompt: text, required", "skip-below: number from 0, default 0.5", "leaves: list of options, default []"]
    assert lines == [
        "root: options or none, default none",
        *(f"root.{each}" for each in inner),
        "named: options by name, default {}",
        *(f"named.NAME.{each}" for each in inner),
        "listed: list of options, default [{prompt: a, skip-below: 0.5, leaves: []}]",
        *(f"listed[].{each}" for each in inner),
        "files: text by name, default {}",
    ]
    assert "      Where it ends." in options_of_plugin(Tree)
    assert example(Tree) == "root: ..."


def test_a_default_is_as_a_recipe_writes_it(fusionkit: Run) -> None:
    out = fusionkit("plugins", "saliency-noise-blending").out
    assert "\n  blend: options, default {from: 1.0, to: 0.0}\n" in out
    assert "\n  blend.from: number from 0, default 1.0\n      Where the models begin to take part.\n" in out
    assert "\n  models.NAME.k: number above 0 to 1000000, default 1.0\n" in out
    assert as_yaml({"a": None, "b": [True, {"c": 1.5}]}) == "{b: [true, {c: 1.5}]}"


def test_the_schema_holds_them_also_where_they_hold_themselves() -> None:
    schema = inline(Tree.model_json_schema(by_alias=True))
    assert "$ref" not in json.dumps(schema)
    leaf = schema["properties"]["named"]["additionalProperties"]
    assert list(leaf["properties"]) == ["prompt", "skip-below", "leaves"]
    assert leaf["properties"]["leaves"]["items"] == {"type": "object"}
    assert leaf["additionalProperties"] is False


def made_of(node: Any) -> list[list[str]]:
    """The keys of all nested options of a plugin's schema."""
    if isinstance(node, list):
        return [keys for each in node for keys in made_of(each)]
    if not isinstance(node, dict):
        return []
    own = [list(node["properties"])] if isinstance(node.get("properties"), dict) else []
    return own + [keys for each in node.values() for keys in made_of(each)]


@pytest.mark.parametrize("name", offered())
def test_an_editor_and_the_documentation_know_them(name: str) -> None:
    (with_options,) = (
        each["properties"][name]
        for each in recipe_schema()["properties"]["plugins"]["anyOf"][0]["items"]["anyOf"]
        if name in each.get("properties", ())
    )
    page = (DOCS / "plugins" / f"{name}.md").read_text(encoding="utf-8")
    nested = made_of(list(with_options["properties"].values()))
    expected = sum(issubclass(each, BaseModel) for each in classes_in(load(name)))
    assert len(nested) == expected
    for keys in nested:
        for key in keys:
            assert re.search(rf"^\| `{key}` \|", page, flags=re.MULTILINE), f"{name}: no table has '{key}'"


def classes_in(kind: type[BaseModel]) -> list[type]:
    found, todo = [], [field.annotation for field in kind.model_fields.values()]
    while todo:
        each = todo.pop()
        todo += getattr(each, "__args__", ())
        if isinstance(each, type) and issubclass(each, BaseModel):
            found.append(each)
    return found
