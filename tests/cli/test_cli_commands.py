"""Commands that packages offer: another's beside fusionkit's own, broken ones, and what a list of them imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from command_line import Run

from fusionkit.cli import commands
from fusionkit.errors import PluginError

Offer = Callable[..., None]
CODE = """
import click

from fusionkit.errors import FusionError


@click.command(short_help="Say how many prompts a recipe has.")
@click.argument("recipe")
@click.option("--fail", default="")
def command(recipe, fail):
    from fusionkit.recipe.recipe_file import load_recipes

    if fail == "in words":
        raise FusionError("there are too many")
    if fail:
        raise SystemExit(0)
    click.echo(f"{len(load_recipes(recipe))} of them")


not_one = 7
hidden = click.Command("hidden", hidden=True, callback=lambda: click.echo("here"))
"""


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Offer]:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def forget() -> None:
        commands.offered.cache_clear()
        commands._only_ours.cache_clear()

    def add(package: str, code: str = CODE, **names: str) -> None:
        module = f"{package}_commands"
        (site / f"{module}.py").write_text(code)
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "".join(f"{name.replace('_', '-')} = {module}:{attribute}\n" for name, attribute in names.items())
        (info / "entry_points.txt").write_text(f"[fusionkit.commands]\n{lines}")
        forget()

    yield add
    for module in [each for each in sys.modules if each.endswith("_commands")]:
        del sys.modules[module]
    forget()


def listed(ran: str) -> dict[str, str]:
    lines = ran.partition("Commands:\n")[2].splitlines()
    return {name: rest.strip() for name, _, rest in (line.strip().partition(" ") for line in lines)}


ELSEWHERE = {"upscale": "fusionkit_pictures.photos.command:command", "vista": "fusionkit_vista.commands:vista"}
"""Commands that bundled plugins bring."""


def test_the_list_says_of_each_command_what_the_command_says(fusionkit: Run) -> None:
    assert listed(fusionkit("--help").out) == commands.OURS
    ours = {entry.name: entry for entry in entry_points(group="fusionkit.commands") if entry.dist.name == "fusionkit"}
    assert set(ours) == set(commands.OURS)
    for name, line in commands.OURS.items():
        assert commands.load(name).short_help == line
        assert ours[name].value == ELSEWHERE.get(name, f"fusionkit.cli.{name.replace('-', '_')}:command")


def test_a_list_imports_no_command_and_nothing_that_reads_entry_points() -> None:
    code = "import sys\nfrom fusionkit.cli import main\ntry:\n    main(['--help'])\n"
    code += "finally:\n    print('MODULES', *sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    found = set(done.stdout.rpartition("MODULES ")[2].split())
    assert not found & {f"fusionkit.cli.{name}" for name in commands.OURS}
    assert not found & {"importlib.metadata", "pluggy", "pydantic", "fusionkit.registry", "difflib", "traceback"}


def test_a_command_of_another_package_is_listed_and_runs(offer: Offer, fusionkit: Run) -> None:
    offer("counting", count_prompts="command", secret="hidden")
    assert listed(fusionkit("--help").out) == {**commands.OURS, "count-prompts": "Say how many prompts a recipe has."}
    assert fusionkit("count-prompts", "r.yaml") == (0, "1 of them\n", "")
    assert fusionkit("secret") == (0, "here\n", "")
    assert fusionkit("count-promts").err.splitlines()[-1] == (
        "Error: no command 'count-promts'; did you mean 'count-prompts'?"
    )
    assert "Usage: fusionkit count-prompts [OPTIONS] RECIPE" in fusionkit("count-prompts", "--help").out


def test_what_fails_in_another_packages_command_is_one_line_and_no_success(offer: Offer, fusionkit: Run) -> None:
    offer("counting", count_prompts="command")
    assert fusionkit("count-prompts", "none.yaml").code == 2
    assert fusionkit("count-prompts", "r.yaml", "--fail", "in words") == (1, "", "there are too many\n")
    ran = fusionkit("count-prompts", "r.yaml", "--fail", "quietly")
    assert (ran.code, ran.out) == (1, "")
    where = "in 'counting_commands.py' line 16 of package 'counting'"
    assert ran.err.startswith(f"SystemExit: 0 (it tried to end the program), {where}")
    assert len(ran.err.splitlines()) == 1


def test_a_broken_command_is_one_line_and_takes_no_other_down(offer: Offer, fusionkit: Run) -> None:
    offer("broken", "import no_such_module\n", break_it="command")
    offer("odd", CODE, odd="not_one")
    names = listed(fusionkit("--help").out)
    assert {name: names[name] for name in commands.OURS} == commands.OURS
    why = (
        "command 'break-it' of package 'broken' can't be imported (broken_commands:command): "
        "ModuleNotFoundError: No module named 'no_such_module'\n"
    )
    assert names["break-it"].startswith("(command 'break-it' of package 'broken' can't be imported")
    for args in ((), ("--help",)):
        assert fusionkit("break-it", *args) == (1, "", why)
    assert fusionkit("odd").err == "command 'odd' of package 'odd' is 7, not a command of click\n"
    assert fusionkit("validate", "r.yaml").code == 0


def test_two_packages_with_one_command_are_named(offer: Offer, fusionkit: Run) -> None:
    offer("copycat", validate="command")
    why = "command 'validate' is offered by the packages 'copycat' and 'fusionkit'; uninstall all but one of them"
    assert fusionkit("validate", "r.yaml") == (1, "", f"{why}\n")
    assert listed(fusionkit("--help").out)["validate"].startswith("(command 'validate' is offered by")
    assert fusionkit("recipes").code == 0


def test_an_installation_without_its_entry_points_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "offered", dict)
    with pytest.raises(PluginError, match="install fusionkit again"):
        commands.load("run")
