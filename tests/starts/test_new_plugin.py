"""`fusionkit new-plugin`: each of its plugins does something, and at its neutral options nothing; names and folders."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from fusionkit.cli import main
from fusionkit.errors import RecipeError
from fusionkit.plugin import Plugin
from fusionkit.starts.names import LONGEST, Names, names_of
from fusionkit.starts.plugin import FIRST_HOOK, hooks, package_files, write_package

# That of the first hook is run whole by tests/docs/test_example_plugin.py.
OTHERS = [hook for hook in hooks() if hook != FIRST_HOOK]


def named(hook: str) -> Names:
    return Names(f"my-{hook.replace('_', '-')}")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    for hook in hooks():
        write_package(folder / hook, package_files(named(hook), hook))
    return folder


@pytest.mark.parametrize("hook", OTHERS)
def test_a_plugin_to_begin_with_acts_and_does_nothing_at_its_neutral_options(
    hook: str, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = named(hook)
    for folder in (packages / hook, packages / hook / "tests"):
        monkeypatch.syspath_prepend(str(folder))
    contract = getattr(import_module(f"test_{names.module}"), f"Test{names.kind}")
    monkeypatch.setattr(contract, "kinds", ("sd",))
    assert hook in vars(contract.plugin)
    contract().test_neutral_options_change_nothing()
    if contract.changes_latents:
        contract().test_options_change_something()
    else:
        monkeypatch.setattr("fusionkit.testing.contract.SIZES", ((64, 64),))
        contract().test_pictures_fit()


def test_what_is_written_is_clean(packages: Path) -> None:
    for what in (["check", "--select", "E,W,F,I,UP,B,D1,N,RET"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *what, "--isolated", "--no-cache", "--line-length", "120"]
        command += ["--config", "src = ['*']", "."]
        found = subprocess.run(command, cwd=packages, capture_output=True, text=True)
        assert found.returncode == 0, found.stdout


def test_the_help_names_each_hook() -> None:
    said = CliRunner().invoke(main, ["new-plugin", "--help"]).output
    assert [hook for hook in hooks() if hook not in said] == []
    assert len(hooks()) == 7


def test_it_writes_into_a_folder_of_its_own_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(main, ["new-plugin", "soft-views", "--hook", "views"])
    assert said.exit_code == 0, said.output
    assert [path.name for path in tmp_path.iterdir()] == ["fusionkit-soft-views"]
    assert "cd fusionkit-soft-views" in said.output
    code = (tmp_path / "fusionkit-soft-views" / "fusionkit_soft_views" / "__init__.py").read_text(encoding="utf-8")
    assert "class SoftViews(Plugin):" in code
    again = CliRunner().invoke(main, ["new-plugin", "soft-views"])
    assert again.exit_code == 2
    assert (
        again.output == "'fusionkit-soft-views' is there already, and is not changed; give another place: -o FOLDER\n"
    )
    assert code == (tmp_path / "fusionkit-soft-views" / "fusionkit_soft_views" / "__init__.py").read_text()


def test_an_empty_folder_is_filled_and_a_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_package(tmp_path / "empty", {"a/b.txt": "b\n"})
    assert (tmp_path / "empty" / "a" / "b.txt").read_text() == "b\n"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RecipeError, match="is there already"):
        write_package(tmp_path / "file", {"a.txt": "a"})
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


@pytest.mark.parametrize("name", ["ab", "a-b", "x-2", "sky-and-sea", "v2-blend"])
def test_recipes_call_the_class_by_the_name(name: str) -> None:
    names = names_of(name)
    space: dict[str, type[Plugin]] = {}
    exec(package_files(names)[f"{names.package}/__init__.py"], space)
    assert space[names.kind].plugin_name == name
    assert f'{name} = "{names.package}:{names.kind}"' in package_files(names)["pyproject.toml"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("SkyAndSea", "such as 'sky-and-sea'"),
        ("sky_and_sea", "such as 'sky-and-sea'"),
        ("../sky", "such as 'sky'"),
        ("3d-views", "such as 'd-views'"),
        ("Blåbær", "such as 'blabr'"),
        ("", "such as 'sky-and-sea'"),
        ("fusionkit-sky", "use 'sky'"),
        ("x" * (LONGEST + 1), f"has {LONGEST + 1} letters; the most are {LONGEST}"),
        ("null", "means something else to YAML"),
        ("con", "as a file's name to Windows"),
        ("none", "makes a class None, which Python or fusionkit has already"),
        ("stage", "makes a class Stage, which Python or fusionkit has already"),
        ("ring", "a plugin 'ring' is installed already, by package 'fusionkit'"),
        ("metrics", "a package 'fusionkit_metrics' is installed already"),
    ],
)
def test_a_name_that_is_none_or_is_taken_is_told_in_one_line(name: str, said: str, tmp_path: Path) -> None:
    ran = CliRunner().invoke(main, ["new-plugin", "-o", str(tmp_path / "new"), "--", name])
    assert ran.exit_code == 2
    assert said in ran.output
    assert len(ran.output.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_hook_without_a_plugin_to_begin_with_is_told(tmp_path: Path) -> None:
    ran = CliRunner().invoke(main, ["new-plugin", "a-b", "--hook", "fuze", "-o", str(tmp_path / "new")])
    assert ran.exit_code == 2
    assert "did you mean 'fuse'?" in ran.output
    assert "prompt_per_patch" in ran.output
