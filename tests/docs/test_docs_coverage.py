"""Everything that a user can write or call is on a page, and the tables say what the code says."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap

import pytest
from docs_pages import DOCS, PAGES, ROOT, blocks

import fusionkit
from fusionkit.loop.hookspecs import Hookspecs
from fusionkit.recipe import Recipe
from fusionkit.registry import load, offered

OURS = [name for name, entry in offered().items() if entry.dist is not None and entry.dist.name == "fusionkit"]
HOOKS = [name for name in vars(Hookspecs) if not name.startswith("_")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_are_up_to_date(page, tables):
    assert page.read_text(encoding="utf-8") == tables.updated(page), "run: python docs/tables.py"


@pytest.mark.parametrize("name", OURS)
def test_every_plugin_has_a_page_with_its_options_its_failures_and_a_picture(name):
    text = (DOCS / "plugins" / f"{name}.md").read_text(encoding="utf-8")
    for part in (
        f"# {name}\n",
        "## Idea",
        "## Equation",
        "## When it fails",
        f"<!-- table: options {name} -->",
    ):
        assert part in text, f"docs/plugins/{name}.md has no {part.strip()!r}"
    assert re.search(r"!\[.*\]\(.*\.(png|jpg|webp)\)", text), f"docs/plugins/{name}.md has no picture"
    for field, info in load(name).model_fields.items():
        assert f"`{info.alias or field}`" in text


def test_every_recipe_key_is_in_the_table():
    text = (DOCS / "recipes.md").read_text(encoding="utf-8")
    for name, field in Recipe.model_fields.items():
        assert f"| `{field.alias or name}` |" in text
        assert field.description, f"the recipe's key '{name}' has no description"


def test_every_command_is_in_the_index_and_used_on_a_page():
    from fusionkit.cli.commands import OURS

    index = (DOCS / "index.md").read_text(encoding="utf-8")
    used = {
        words[1]
        for page in PAGES
        for block in blocks(page)
        for words in re.findall(r"(fusionkit) ([\w-]+)", block.text)
    }
    for name in OURS:
        assert f"`fusionkit {name}`" in index
        assert name in used, f"no page shows 'fusionkit {name}'"


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented_with_its_signature(name):
    page = DOCS / "hooks.md"
    section = re.split(rf"^## {name}$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(section) == 2, f"docs/hooks.md has no section '## {name}'"
    shown = re.search(r"```python\n(def .*?)```", section[1], flags=re.DOTALL)
    assert shown is not None
    assert signature(shown[1]) == signature(inspect.getsource(getattr(Hookspecs, name)))
    assert "Without a plugin:" in section[1].split("\n## ")[0] or name.endswith("_done")


def signature(source: str) -> str:
    """A function's arguments and answer, however its source is laid out."""
    function = ast.parse(textwrap.dedent(source)).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert function.returns is not None
    return f"{function.name}({ast.unparse(function.args)}) -> {ast.unparse(function.returns)}"


@pytest.mark.parametrize("name", fusionkit.__all__)
def test_every_exported_name_is_on_a_page(name):
    assert any(re.search(rf"\b{name}\b", page.read_text(encoding="utf-8")) for page in PAGES)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_every_bundled_recipe_opens_with_its_own_command(path):
    assert path.read_text(encoding="utf-8").startswith(f"# Run it:  fusionkit run {path.stem}")
