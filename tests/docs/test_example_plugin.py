"""A plugin of somebody else: found, used in a recipe, and, where it is broken, named in one line."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from docs_pages import DOCS
from warm import answered, pytests

from fusionkit import Fusion, Plugin, hookimpl
from fusionkit.recipe.recipe_file import load_recipes
from fusionkit.starts.names import Names
from fusionkit.starts.plugin import package_files

EXAMPLE = DOCS / "example_plugin"


def fusionkit(*arguments: str, path: Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, with one folder more to find packages in."""
    return answered(*arguments, path=[path], folder=cwd, changes={"COLUMNS": "200"})


class Noted(Plugin):
    """Notes which view got which prompt."""

    prompts: dict[int, set[str]] = {}

    @hookimpl(wrapper=True)
    def noise_prediction(self, patches):
        for view, prompt in zip(patches.views, patches.prompts, strict=True):
            self.prompts.setdefault(view.top, set()).add(prompt.text)
        return (yield)


def test_the_example_is_what_new_plugin_writes():
    written = package_files(Names("sky-and-sea"))
    there = {path.relative_to(EXAMPLE).as_posix(): path.read_text(encoding="utf-8") for path in files_of(EXAMPLE)}
    marks = re.compile(r"^<!-- test: .* -->\n", re.MULTILINE)  # of this repository's own tests
    assert {name: marks.sub("", text) for name, text in there.items()} == written


def files_of(folder: Path) -> list[Path]:
    made = {"__pycache__", "build", "out"}
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in found if not any(p in made or p.endswith(("_cache", "-info")) for p in path.parts)]


def test_the_plugin_is_short():
    lines = (EXAMPLE / "fusionkit_sky_and_sea" / "__init__.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 60


def test_it_shows_in_the_list_and_in_detail(example_folder):
    listed = fusionkit("plugins", path=example_folder)
    assert listed.returncode == 0, listed.stderr
    assert "sky-and-sea" in listed.stdout
    detail = fusionkit("plugins", "sky-and-sea", path=example_folder)
    assert detail.returncode == 0, detail.stderr
    for word in ("fusionkit-sky-and-sea", "above", "below", "horizon"):
        assert word in detail.stdout


def test_views_of_a_row_get_the_prompt_of_their_side_of_the_horizon(example_installed):
    recipe = load_recipes(EXAMPLE / "recipe.yaml", ["steps=1"])[0]
    noted = Noted()
    Fusion.from_recipe(recipe, plugins=[*recipe.plugins, noted])(progress=False)
    # Windows are 16 latent pixels high and 8 apart, the horizon is at 0.5 of 24: middles are at 8 and 16.
    assert noted.prompts == {
        0: {"a poster of mountains at sunset"},
        8: {"a poster of the sea at sunset"},
    }


def test_the_recipe_runs_from_the_command_line(example_folder, tmp_path):
    recipe = example_folder.parent / "source" / "recipe.yaml"
    run = fusionkit("run", str(recipe), "--set", "steps=1", path=example_folder, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sky-and-sea-4.png"]


def test_without_its_package_the_recipe_names_the_plugin_that_is_missing(tmp_path):
    run = fusionkit("validate", str(EXAMPLE / "recipe.yaml"), path=tmp_path)
    assert run.returncode != 0
    assert "no plugin 'sky-and-sea'" in run.stderr
    assert "Traceback" not in run.stderr


def test_its_own_tests_pass(example_folder):
    source = example_folder.parent / "source"
    arguments = ["-q", "-n", "0", "-p", "no:cacheprovider", "--rootdir", str(source), str(source / "tests")]
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what was imported before pytest
    done = answered(*arguments, work=pytests, path=[example_folder])
    assert done.returncode == 0, done.stdout


PLUGIN = """\
import torch
from fusionkit import Fused, Plugin, hookimpl


class {name}(Plugin):
    @hookimpl{how}
    def {hook}:
"""
BROKEN = {
    "import-error": ("ImportError", "import no_such_module\n", "No module named 'no_such_module'"),
    "misspelt-hook": (
        "MisspeltHook",
        PLUGIN.format(name="MisspeltHook", how="", hook="init_nois(self, stage)") + "        return None\n",
        "implements an unknown hook 'init_nois'; did you mean 'init_noise'?",
    ),
    "wrong-shape": (
        "WrongShape",
        PLUGIN.format(name="WrongShape", how="", hook="init_noise(self, stage)")
        + "        return torch.zeros(1, 2, 3)\n",
        "hook 'init_noise' answered (1, 2, 3)",
    ),
    "raises-in-hook": (
        "RaisesInHook",
        PLUGIN.format(name="RaisesInHook", how="(wrapper=True)", hook="fuse(self)")
        + "        yield\n        raise ZeroDivisionError('nothing to divide')\n",
        "failed in hook 'fuse': ZeroDivisionError: nothing to divide",
    ),
}


@pytest.fixture(params=BROKEN)
def broken(request, tmp_path) -> tuple[str, str, Path]:
    """A package with one broken plugin, as an installer leaves it: its name, what is to be said, and its folder."""
    name = request.param
    cls, code, said = BROKEN[name]
    folder = tmp_path / "installed"
    info = folder / f"broken_{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    module = f"broken_{name.replace('-', '_')}"
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: broken-{name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[fusionkit.plugins]\n{name} = {module}:{cls}\n", encoding="utf-8")
    return name, said, folder


def test_a_broken_package_takes_neither_help_nor_the_list_down(broken):
    name, _, folder = broken
    help_text = fusionkit("--help", path=folder)
    assert help_text.returncode == 0
    assert help_text.stderr == ""
    listed = fusionkit("plugins", path=folder)
    assert listed.returncode == 0, listed.stderr
    for each in ("multidiffusion", "guided-fusion", "style-alignment", "variance-corrected-fusion", name):
        assert each in listed.stdout
    assert "Traceback" not in listed.stdout + listed.stderr


def test_a_run_with_a_broken_plugin_names_it_in_one_line(broken, tmp_path):
    name, said, folder = broken
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"model: tinyworld/scenes\nprompt: the sea at noon\nsteps: 1\nplugins: [{name}]\n", encoding="utf-8"
    )
    run = fusionkit("run", str(recipe), path=folder, cwd=tmp_path)
    assert run.returncode != 0
    lines = [line for line in run.stderr.splitlines() if said in line]
    assert len(lines) == 1, run.stderr
    assert name in lines[0]
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out").exists()
