from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
import yaml
from click.testing import CliRunner
from docs_pages import DOCS, PAGES, ROOT, Block, blocks, commands

from fusionkit.models.embedded import embedded_models
from fusionkit.recipe import Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it
    import tomli as tomllib

LANGUAGES = {"bash", "bibtex", "console", "mermaid", "python", "text", "toml", "yaml"}
NEEDS_EXAMPLE = {DOCS / "writing-a-plugin.md", *(DOCS / "example_plugin").rglob("*.md")}
TASKS = sorted((DOCS / "tasks").glob("*.md"))  # test_tasks.py looks at what they draw, too
WITH_BLOCKS = [page for page in PAGES if any(blocks(page)) and page not in TASKS]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=name_of)
def test_every_code_block_of_a_page_works(page, request, tmp_path, monkeypatch):
    if page in NEEDS_EXAMPLE:
        request.getfixturevalue("example_installed")
    check_page(page, tmp_path, monkeypatch)


def check_page(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a page's code blocks in turn, in a folder of their own."""
    monkeypatch.chdir(folder)
    for linked in ("docs", "recipes"):
        (folder / linked).symlink_to(ROOT / linked)
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block.where}: a code block of an unknown language"
        for path in block.said("same as"):
            assert_part_of(block, ROOT / path)
        check = {"python": check_python, "bash": check_bash, "console": check_console, "yaml": check_yaml}
        if block.language in check:
            check[block.language](block, module)
        elif block.language == "toml":
            tomllib.loads(block.text)


def assert_part_of(block: Block, path: Path) -> None:
    whole, part = path.read_text(encoding="utf-8"), block.text
    assert part in whole, f"{block.where}: not the same as {path.relative_to(ROOT)}"


def check_python(block: Block, module: ModuleType) -> None:
    text = block.tested_text.replace("{embedded}", str(embedded_models()["vista/scenes"].folder))
    # Empty lines first, so that a traceback shows the page's own line.
    # This module's annotations are not evaluated either (`dont_inherit=False`), so signatures can stand alone.
    code = compile("\n" * (block.line - 1) + text, str(block.page), "exec")
    if not block.skipped:
        exec(code, vars(module))


def check_bash(block: Block, module: ModuleType) -> None:
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    for command in commands(block.tested_text):
        printed = None
        for piped in command.split(" | "):
            words = shlex.split(piped)
            if block.skipped:
                check_words(block, words)
                continue
            assert words[0] == "fusionkit", f"{block.where}: {piped!r} can't be tested; say why with 'test: skip: ...'"
            more = shlex.split(" ".join(block.said("add"))) if words[1] in ("run", "compare") else []
            printed = fusionkit(block, [*words[1:], *more], printed)


def check_words(block: Block, words: list[str]) -> None:
    """What can be said of a command that is not run: that files, commands and options exist."""
    from fusionkit.cli import main

    program = Path(words[0]).name
    if program == "fusionkit" and words[1] not in ("--help", "--version"):
        command = main.get_command(click.Context(main), words[1])
        assert command is not None, f"{block.where}: no command {words[1]}"
        command.make_context(words[1], words[2:]).close()
    elif program == "python" and words[1].endswith(".py"):
        assert (ROOT / words[1]).exists(), f"{block.where}: no file {words[1]}"
    elif program == "python" and words[1] == "-m" and words[2].startswith("fusionkit"):
        path = ROOT / "plugins" / words[2].replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), (
            f"{block.where}: no module {words[2]}"
        )


def check_console(block: Block, module: ModuleType) -> None:
    """Commands behind `$ `, each with its output; `...` stands for anything."""
    for entry in block.text.split("$ ")[1:]:
        command, _, want = entry.partition("\n")
        got = fusionkit(block, shlex.split(command)[1:])
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert doctest.OutputChecker().check_output(want, got, flags), f"{block.where}: {command} printed\n{got}"


def check_yaml(block: Block, module: ModuleType) -> None:
    """A recipe or comparison: written where its first line says, and validated, or only read where that is skipped.

    What has rules is a preset, and read as one.
    """
    from fusionkit.recipe.presets import Preset
    from fusionkit.recipe.recipe_file import load_recipes

    if "rules" in (found := yaml.safe_load(block.text)):
        assert Preset.model_validate(found).rules
        return
    first = block.text.partition("\n")[0]
    named = re.match(r"# Run it:  fusionkit (?:run|compare) (.+)$", first)
    path = Path(named[1].strip() if named else f"block{block.line}.yaml")
    if not path.exists():
        path.write_text(block.tested_text, encoding="utf-8")
    if block.skipped:
        assert all(isinstance(recipe, Recipe) for recipe in load_recipes(path))
    else:
        fusionkit(block, ["validate", str(path)])


def fusionkit(block: Block, arguments: list[str], given: str | None = None) -> str:
    """Run the command line as its user would, and return all that it printed.

    Args:
        block: Where the command stands.
        arguments: The command's.
        given: What comes from standard input.
    """
    from fusionkit.cli import main

    result = CliRunner().invoke(main, arguments, input=given)
    expected = int(next(iter(block.said("fails")), 0))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == expected, f"{block.where}: {' '.join(arguments)}\n{result.output}"
    return result.output


def test_both_commands_of_the_readme_create_an_environment_and_the_second_one_is_that_of_ci():
    run, test = (block.text.strip() for block in blocks(ROOT / "README.md") if ".venv/bin/pip" in block.text)
    assert run == (
        "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt . && .venv/bin/fusionkit run panorama"
    )
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    extract = script[script.index("command=$(") : script.index("if [")]
    found = subprocess.run(
        ["bash", "-c", f'{extract}echo "$command"'], cwd=ROOT, text=True, capture_output=True, check=True
    )
    assert found.stdout.strip() == test
    assert test == "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[test]' && .venv/bin/pytest"


def test_the_first_picture_is_as_wide_as_its_captions_say():
    from fusionkit.recipe.recipe_file import load_recipes

    recipe = load_recipes("panorama")[0]
    windows = recipe.size[0] // embedded_models()["vista/scenes"].window[0]
    assert windows >= 7
    for page in (ROOT / "README.md", DOCS / "index.md"):
        assert set(re.findall(r"(\d+) windows wide", page.read_text(encoding="utf-8"))) == {str(windows)}
