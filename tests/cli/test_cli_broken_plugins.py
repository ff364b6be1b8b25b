"""A broken plugin is named in one line, and takes down nothing but the recipes that use it."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import RECIPE, Install, Run

HEAD = """
from fusionkit import Plugin, hookimpl
class Broken(Plugin, name="a-broken-one"):
    \"\"\"Breaks.\"\"\"
"""
# The code of the plugin's module, and why it is no plugin.
BROKEN = {
    "import error": (
        "import nothing_like_this",
        "plugin 'a-broken-one' of package 'a-broken-one-package' can't be imported (a_broken_one:Broken): "
        "ModuleNotFoundError: No module named 'nothing_like_this'",
    ),
    "exception on import": (
        "1 / 0",
        "plugin 'a-broken-one' of package 'a-broken-one-package' can't be imported (a_broken_one:Broken): "
        "ZeroDivisionError: division by zero",
    ),
    "no plugin": (
        "Broken = 3",
        "plugin 'a-broken-one' of package 'a-broken-one-package' is 3, not a subclass of fusionkit.Plugin",
    ),
    "misspelt hook": (
        HEAD + "    @hookimpl\n    def fuze(self, groups): ...\n",
        "plugin 'a-broken-one' implements an unknown hook 'fuze'; did you mean 'fuse'?",
    ),
}
# Faults that show only when the hook is asked.
FAILS = {
    "exception in a hook": (
        HEAD + "    @hookimpl\n    def views(self, stage):\n        raise ValueError('no views today')\n",
        "plugin 'a-broken-one' failed in hook 'views': ValueError: no views today",
    ),
    "exception in a check": (
        HEAD + "    @hookimpl\n    def check(self, stage):\n        return stage.nothing\n",
        "plugin 'a-broken-one' failed in hook 'check': AttributeError: 'Stage' object has no attribute 'nothing'",
    ),
}
WRONG_SHAPE = HEAD + "    @hookimpl\n    def init_noise(self, stage):\n        return stage.noise('x', (1, 4, 3, 3))\n"


@pytest.mark.parametrize(("code", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_listed_with_its_reason(fusionkit: Run, install: Install, code: str, reason: str) -> None:
    install("a-broken-one", code)
    assert fusionkit("--help").code == 0
    listed = fusionkit("plugins")
    assert listed.code == 0
    lines = listed.out.splitlines()
    assert lines[0].split(maxsplit=2) == ["a-broken-one", "a-broken-one-package", f"broken: {reason}"]
    assert any(line.startswith("style-alignment ") for line in lines)
    assert fusionkit("plugins", "a-broken-one") == (1, "", f"{reason}\n")
    assert fusionkit("validate", "r.yaml").code == 0
    Path("r.yaml").write_text(RECIPE.replace("  - guided-fusion", "  - a-broken-one"))
    assert fusionkit("validate", "r.yaml") == (2, "", f"r.yaml:11:5: {reason}\n")


@pytest.mark.parametrize(("code", "reason"), FAILS.values(), ids=FAILS)
def test_a_plugin_that_fails_before_the_model_loads(fusionkit: Run, install: Install, code: str, reason: str) -> None:
    install("a-broken-one", code)
    Path("r.yaml").write_text(RECIPE.replace("multidiffusion: {stride: 64}", "a-broken-one"))
    assert fusionkit("plugins").code == 0
    assert fusionkit("plan", "r.yaml") == (2, "", f"r.yaml:10:5: {reason}\n")
    ran = fusionkit("run", "r.yaml", "-q")
    assert ran.code != 0
    assert ran.err.count("\n") == 1
    assert reason in ran.err


def test_a_wrong_shape_is_named(fusionkit: Run, install: Install) -> None:
    install("a-broken-one", WRONG_SHAPE)
    Path("r.yaml").write_text(RECIPE.replace("style-alignment: {alpha: 0.4}", "a-broken-one"))
    assert fusionkit("run", "r.yaml", "-q") == (
        1,
        "",
        "hook 'init_noise' answered (1, 4, 3, 3) torch.float32 on cpu; "
        "expected (1, 4, 16, 32) torch.float32 on cpu (asked: a-broken-one)\n",
    )
    assert not list(Path().glob("out/*"))


def test_a_plugin_of_another_package_shows_and_works(fusionkit: Run, install: Install) -> None:
    code = HEAD.replace("Breaks", "Does nothing") + "    size: int = 3\n    @hookimpl\n    def stage_done(self): ...\n"
    install("a-broken-one", code)
    assert "a-broken-one" in fusionkit("plugins").out
    Path("r.yaml").write_text(RECIPE.replace("  - guided-fusion", "  - a-broken-one: {size: 4}"))
    assert fusionkit("validate", "r.yaml").code == 0
    assert '"a-broken-one"' in fusionkit("schema").out
