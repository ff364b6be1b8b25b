"""Controls made of schemas: of every installed plugin, and of those that are yet to be written."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from fusionkit import Plugin
from fusionkit.recipe.schema import inline
from fusionkit.registry import forget
from fusionkit.studio.forms import OURS, control, fields, plugins, recipe_fields

KINDS = {"switch", "integer", "number", "choice", "text", "path", "word"}
KINDS |= {"numbers", "list", "mapping", "group", "either", "yaml"}


class Part(Plugin):
    """A part of another one's options."""

    box: tuple[float, float, float, float] = Field(description="Where it is.")
    prompt: str | None = None


class Anything(Plugin):
    """Every kind of option that somebody may think of."""

    needed: str
    on: bool = True
    share: float = Field(default=0.5, ge=0, le=1, description="How much.\n\nIn more words.")
    count: Annotated[int, Field(gt=0, lt=9)] = 3
    kind: Literal["a", "b"] = "a"
    picture: Path | None = Field(default=None, description="Which.")
    factor: float | Literal["auto"] = "auto"
    names: list[str] = []
    parts: dict[str, Part] = {}
    how: Part | str = "plain"
    odd: list[dict[str, int]] | None = None
    two: tuple[int, int] = (1, 2)


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in fields(inline(Anything.model_json_schema(by_alias=True)))}


def test_what_must_be_filled_in_comes_first(made: dict[str, dict[str, Any]]) -> None:
    assert next(iter(made)) == "needed"
    assert [each["required"] for each in made.values()] == [True] + [False] * 11


def test_each_kind_of_option_has_its_control(made: dict[str, dict[str, Any]]) -> None:
    assert {name: each["kind"] for name, each in made.items()} == {
        "needed": "text",
        "on": "switch",
        "share": "number",
        "count": "integer",
        "kind": "choice",
        "picture": "path",
        "factor": "word",
        "names": "list",
        "parts": "mapping",
        "how": "either",
        "odd": "list",
        "two": "numbers",
    }
    share, count, parts = made["share"], made["count"], made["parts"]
    assert (share["minimum"], share["maximum"], share["default"], share["help"]) == (0, 1, 0.5, "How much.")
    assert (count["above"], count["below"]) == (0, 9)
    assert made["kind"]["choices"] == ["a", "b"]
    assert made["factor"]["choices"] == ["auto"]
    assert (made["picture"]["optional"], made["share"]["optional"]) == (True, False)
    assert (made["picture"]["help"], made["picture"]["default"]) == ("Which.", None)
    assert [(each["name"], each["kind"]) for each in parts["item"]["fields"]] == [
        ("box", "numbers"),
        ("prompt", "text"),
    ]
    assert parts["item"]["fields"][0]["count"] == 4
    assert [each["kind"] for each in made["how"]["ways"]] == ["group", "text"]


def test_what_has_no_control_of_its_own_is_yaml() -> None:
    assert control({"type": "array", "items": {"type": "array"}})["kind"] == "yaml"
    assert control({})["kind"] == "yaml"


def all_of(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield found
    for each in (*found.get("fields", []), *found.get("ways", []), *filter(None, [found.get("item")])):
        yield from all_of(each)


def test_every_option_of_every_plugin_and_every_key_of_a_recipe_has_a_control() -> None:
    from fusionkit.recipe import Recipe
    from fusionkit.registry import load, offered

    found = plugins()
    assert [each["name"] for each in found] == list(offered())
    for each in found:
        assert each["broken"] is None
        names = [field.alias or name for name, field in load(each["name"]).model_fields.items()]
        assert sorted(field["name"] for field in each["fields"]) == sorted(names)
    keys = [field.alias or name for name, field in Recipe.model_fields.items()]
    assert [each["name"] for each in recipe_fields()] == [name for name in keys if name not in OURS]
    made = [one for each in found for field in each["fields"] for one in all_of(field)]
    assert {each["kind"] for each in made} <= KINDS
    # Few options need YAML: whoever adds one of a new form sees it here.
    assert sum(each["kind"] == "yaml" for each in made) <= 1


def test_a_plugin_that_is_broken_says_why_and_hides_no_other(
    third_party: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "bad-1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1\n")
    (told / "entry_points.txt").write_text("[fusionkit.plugins]\nbad = nowhere:Bad\n")
    for folder in (tmp_path, third_party):
        monkeypatch.syspath_prepend(folder)
    forget()
    try:
        found = {each["name"]: each for each in plugins()}
    finally:
        monkeypatch.undo()
        forget()
        sys.modules.pop("fusionkit_sky_and_sea", None)
    assert "plugin 'bad' of package 'bad' can't be imported" in found["bad"]["broken"]
    sky = found["sky-and-sea"]
    assert (sky["package"], sky["broken"]) == ("fusionkit-sky-and-sea", None)
    assert [(each["name"], each["kind"]) for each in sky["fields"]] == [
        ("above", "text"),
        ("below", "text"),
        ("horizon", "number"),
    ]
