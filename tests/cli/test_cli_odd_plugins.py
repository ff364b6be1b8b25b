"""Plugins of other packages that go wrong in unusual ways: one line that names them, and an output that stays clean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from command_line import RECIPE, Install, Run

from fusionkit.cli import main

HEAD = """
import os, subprocess, sys
import torch
import fusionkit
from fusionkit import Plugin, hookimpl
class Broken(Plugin, name="a-broken-one"):
    \"\"\"Breaks.\"\"\"
"""


def with_plugin(install: Install, code: str, top: str = "") -> None:
    install("a-broken-one", top + HEAD + code)
    Path("r.yaml").write_text(RECIPE.replace("  - guided-fusion\n", "  - guided-fusion\n  - a-broken-one\n"))


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        ("fusionkit.FusionError('too\\nlate')", 1, "plugin 'a-broken-one' in hook 'step_done' says: too late"),
        ("fusionkit.NumericalError('odd')", 1, "plugin 'a-broken-one' in hook 'step_done' says: odd"),
        ("fusionkit.RecipeError(['one', 'two'])", 2, "plugin 'a-broken-one' in hook 'step_done' says: one"),
        ("fusionkit.PluginError('a-broken-one is too old')", 1, "a-broken-one is too old"),
    ],
)
def test_an_error_of_ours_that_a_plugin_raises_names_it(
    raised: str, code: int, line: str, fusionkit: Run, install: Install
) -> None:
    with_plugin(install, f"    @hookimpl\n    def step_done(self):\n        raise {raised}\n")
    ran = fusionkit("run", "r.yaml", "-q")
    assert (ran.code, ran.out) == (code, "")
    assert line in ran.err
    assert len(ran.err.splitlines()) == (2 if "two" in raised else 1)
    assert all("a-broken-one" in each for each in ran.err.splitlines())


def test_whoever_changes_what_others_are_asked_with_is_to_blame(fusionkit: Run, install: Install) -> None:
    code = """
    @hookimpl(wrapper=True)
    def noise_prediction(self, patches):
        patches.latents.fill_(float("nan"))
        return (yield)
"""
    with_plugin(install, code)
    ran = fusionkit("run", "r.yaml", "-q")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("plugin 'a-broken-one' in hook 'noise_prediction' changed the argument 'patches'.latents")


@pytest.mark.parametrize("error", ["MemoryError('no room')", "torch.OutOfMemoryError('no room')"])
def test_maps_that_the_memory_does_not_hold(error: str, fusionkit: Run, install: Install) -> None:
    with_plugin(install, f"    @hookimpl\n    def maps(self):\n        raise {error}\n")
    ran = fusionkit("run", "r.yaml", "-q", "--save-maps")
    assert (ran.code, ran.out) == (1, "out/r-0.png\n")
    assert ran.err == f"plugin 'a-broken-one' failed in hook 'maps': {error.split('(')[0].split('.')[-1]}: no room\n"


@pytest.mark.parametrize("error", ["RuntimeError('odd')", "SystemExit(0)", "RecursionError('odd')"])
def test_options_whose_check_breaks(error: str, fusionkit: Run, install: Install) -> None:
    with_plugin(install, f"    def model_post_init(self, _):\n        raise {error}\n")
    for command in ("validate", "run"):
        ran = fusionkit(command, "r.yaml")
        assert (ran.code, ran.out) == (2, "")
        start = "r.yaml:12:5: plugin 'a-broken-one' can't take its options: "
        assert ran.err.startswith(start + error.split("(")[0])
        assert len(ran.err.splitlines()) == 1


PRINTS = """
    @hookimpl
    def check(self):
        os.write(1, b"of the system\\n")
        subprocess.run([sys.executable, "-c", "print('of a child')"])
"""


@pytest.mark.parametrize(
    "command",
    [
        ["run", "r.yaml", "-q", "--set", "steps=1"],
        ["validate", "r.yaml"],
        ["plan", "r.yaml"],
        ["plugins"],
        ["schema"],
    ],
)
def test_what_is_printed_by_any_way_is_not_in_the_output(
    command: Sequence[str], install: Install, capfd: pytest.CaptureFixture[str]
) -> None:
    with_plugin(install, PRINTS, top="import os\nos.write(1, b'while imported\\n')\nprint('while imported, too')\n")
    with pytest.raises(SystemExit) as ended:
        main(list(command), prog_name="fusionkit")
    assert not ended.value.code
    printed, errors = capfd.readouterr()
    assert not any(each in printed for each in ("of the system", "of a child", "while imported"))
    if command[0] == "schema":
        json.loads(printed)
    elif command[0] != "plugins":
        assert "of a child" in errors
