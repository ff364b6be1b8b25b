"""A package that tries to end the program fails by name, and one that stands in for another is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import CHECKPOINTS, RECIPE, Run
from PIL import Image

from fusionkit import registry
from fusionkit.bench.baselines import BASELINES
from fusionkit.evaluation.registry import FEATURES, METRICS

TINY = str(CHECKPOINTS / "tiny-sd")
Add = Callable[..., None]

METRIC = """
from typing import ClassVar
from fusionkit.evaluation import Features, Metric
class Ender(Metric, name="ender"):
    needs: ClassVar[frozenset[str]] = frozenset(NEEDS)
    def problems(self, pictures, reference, tools):
        return super().problems(pictures, reference, tools) or (AT == "problems" and ends()) or []
    def describe(self, picture, tools):
        return (AT == "describe" and ends()) or [1.0]
    def score(self, described, reference):
        return (AT == "score" and ends()) or {"score as list": [1.0]}.get(AT, 1.0)
    def each(self, described):
        return (AT == "each" and ends()) or {"each as text": "high"}.get(AT, 1.0)
class Eyes(Features):
    name, size = "eyes", (8, 8)
    @classmethod
    def from_weights(cls, path, device, *, others=None, download=True):
        return (AT == "from_weights" and ends()) or cls()
    def pooled(self, crops):
        return (AT == "pooled" and ends()) or crops.mean(axis=(1, 2)).astype(float)
"""
ENDS = "def ends(): raise {kind}\n"


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """Installs a package from its name, its code and its entry points, for one test."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    modules: list[str] = []

    def forget() -> None:
        for group in (registry.PLUGINS, METRICS, FEATURES, BASELINES):
            group.forget()

    def install(name: str, code: str, **groups: dict[str, str]) -> None:
        module = name.replace("-", "_")
        modules.append(module)
        (site / f"{module}.py").write_text(code)
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [
            f"[fusionkit.{group}]\n" + "".join(f"{key} = {module}:{value}\n" for key, value in entries.items())
            for group, entries in groups.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(lines))
        forget()

    yield install
    for module in modules:
        sys.modules.pop(module, None)
    forget()


KINDS = {"exit": "SystemExit(0)", "generator": "GeneratorExit()", "own": "type('Odd', (BaseException,), {})('hm')"}
SAID = {
    "exit": "SystemExit: 0 (it tried to end the program)",
    "generator": "GeneratorExit: no message",
    "own": "Odd: hm",
}


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_ends_a_program_on_import_ends_nothing_but_itself(fusionkit: Run, add: Add, kind: str) -> None:
    groups = {
        "plugins": {"an-ender": "X"}, "metrics": {"ender": "X"}, "features": {"eyes": "X"},
        "baselines": {"floor": "X"}, "models": {"ender": "X"}, "controlnets": {"ender": "X"},
    }  # fmt: skip
    add("an-ender-package", f"raise {KINDS[kind]}", **groups)
    said = SAID[kind]
    imported = f"of package 'an-ender-package' can't be imported (an_ender_package:X): {said}"
    assert fusionkit("validate", "r.yaml").code == 0
    assert fusionkit("plugins", "an-ender") == (1, "", f"plugin 'an-ender' {imported}\n")
    assert f"an-ender-package  broken: plugin 'an-ender' {imported}" in fusionkit("plugins").out
    assert f"ender  broken: metric 'ender' {imported}" in fusionkit("evaluate", "--list").out

    listed = fusionkit("models")
    assert listed.code == 0
    assert f"ender/...  broken, of package 'an-ender-package': an_ender_package:X: {said}\n" in listed.out
    assert "tinyworld/scenes  " in listed.out
    Image.new("RGB", (256, 128)).save("p.png")
    controlled = RECIPE.replace("  - guided-fusion", "  - controlnet: {model: ender/x, from: p.png}")
    for recipe, what in ((RECIPE.replace(TINY, "ender/x"), "2:8: model"), (controlled, "11:5: controlnet")):
        Path("r.yaml").write_text(recipe)
        ran = fusionkit("validate", "r.yaml")
        assert ran.code == 2
        missing = f"'ender/x' is not there: 'ender/...' of package 'an-ender-package': an_ender_package:X: {said}"
        assert any(line.startswith(f"r.yaml:{what}") and missing in line for line in ran.err.splitlines()), ran.err

    Path("pictures").mkdir()
    Image.new("RGB", (16, 16)).save("pictures/a.png")
    ran = fusionkit("evaluate", "pictures", "--metrics", "ender", "--features", "eyes", "-q")
    assert (ran.code, ran.err) == (2, f"metric 'ender' {imported}\nfeatures 'eyes' {imported}\n")
    Path("r.yaml").write_text(RECIPE)
    ran = fusionkit("bench", "r.yaml", "--baseline", "floor", "-q")
    assert (ran.code, ran.err) == (2, f"baseline 'floor' {imported}\n")


@pytest.mark.parametrize(
    ("at", "needs", "line"),
    [
        ("problems", "", "metric 'ender' failed in problems: "),
        ("describe", "", "metric 'ender' failed in describe of pictures/a.png: "),
        ("score", "", "metric 'ender' failed in score: "),
        ("each", "", "metric 'ender' failed in each: "),
        ("from_weights", "'features', 'crop'", "ender: features 'eyes' can't be loaded: "),
        ("pooled", "'features', 'crop'", "ender: features 'eyes' failed in pooled: "),
    ],
)
def test_a_metric_that_ends_the_program_is_named(fusionkit: Run, add: Add, at: str, needs: str, line: str) -> None:
    code = ENDS.format(kind=KINDS["exit"]) + f"AT = '{at}'\n" + METRIC.replace("NEEDS", f"[{needs}]")
    add("ender-metrics", code, metrics={"ender": "Ender"}, features={"eyes": "Eyes"})
    Path("pictures").mkdir()
    for name in "ab":
        Image.new("RGB", (16, 16)).save(f"pictures/{name}.png")
    ran = fusionkit(
        "evaluate", "pictures", "--metrics", "ender", "--features", "eyes", "--crop", "8x8", "-q"
    )  # fmt: skip
    assert ran.code != 0
    assert (ran.out, ran.err) == ("", f"{line}{SAID['exit']}\n")


BASELINE = """
from fusionkit.bench.baselines import Baseline, Contestant
class Floor(Baseline):
    def __init__(self): AT == "made" and ends()
    def problems(self, plan): return (AT == "problems" and ends()) or []
    def contestants(self, drawing, noted):
        return (AT == "contestants" and ends()) or [Contestant("floor", lambda clock: AT == "run" and ends())]
"""


@pytest.mark.parametrize(
    ("at", "line"),
    [
        ("made", "baseline 'floor' can't be made: "),
        ("problems", "baseline 'floor' failed in problems: "),
        ("contestants", "baseline 'floor' failed in contestants: "),
        ("run", "baseline 'floor' failed: "),
    ],
)
def test_a_baseline_that_ends_the_program_is_named(fusionkit: Run, add: Add, at: str, line: str) -> None:
    code = ENDS.format(kind=KINDS["exit"]) + f"AT = '{at}'\n" + BASELINE
    add("ender-baselines", code, baselines={"floor": "Floor"})
    ran = fusionkit("bench", "r.yaml", "--baseline", "floor", "--runs", "1", "--set", "steps=1", "-q")
    assert ran.code != 0
    assert (ran.out, ran.err) == ("", f"{line}{SAID['exit']}\n")


@pytest.mark.parametrize(
    ("at", "kind", "method"), [("score as list", "list", "score"), ("each as text", "str", "each")]
)
def test_a_metric_that_answers_no_number_is_named(fusionkit: Run, add: Add, at: str, kind: str, method: str) -> None:
    add("ender-metrics", f"AT = '{at}'\n" + METRIC.replace("NEEDS", "[]"), metrics={"ender": "Ender"})
    Path("pictures").mkdir()
    Image.new("RGB", (16, 16)).save("pictures/a.png")
    ran = fusionkit("evaluate", "pictures", "--metrics", "ender", "-q")
    assert ran == (1, "", f"metric 'ender' answered a {kind} in {method}, which takes a number\n")


def test_what_nobody_else_catches_is_a_failure_with_its_place(fusionkit: Run, add: Add) -> None:
    """An option's own validator runs in the middle of reading a recipe."""
    code = (
        "import sys\nfrom pydantic import field_validator\nfrom fusionkit import Plugin\n"
        "class Ender(Plugin, name='an-ender'):\n    size: int = 1\n"
        "    @field_validator('size')\n    def _check(cls, value):\n        sys.exit()\n"
    )
    add("ender-options", code, plugins={"an-ender": "Ender"})
    Path("r.yaml").write_text(RECIPE.replace("  - guided-fusion", "  - an-ender: {size: 4}"))
    ran = fusionkit("validate", "r.yaml")
    assert ran.code != 0
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert "SystemExit: " in ran.err
    assert "'ender_options.py' line 8 of package 'ender-options'" in ran.err
    assert fusionkit("--help").code == 0


MODELS = """
from pathlib import Path
from fusionkit.models.embedded import EmbeddedControlNet, EmbeddedModel
MODELS = {"scenes": EmbeddedModel(Path("/nowhere"), "Mine.", (64, 64))}
NETS = {"canny": EmbeddedControlNet(Path("/nowhere"), "Mine.")}
"""


def test_nobody_stands_in_for_the_embedded_models_unseen(fusionkit: Run, add: Add) -> None:
    add("copycat", MODELS, models={"tinyworld": "MODELS"}, controlnets={"tinyworld": "NETS"})
    assert "copycat" not in sys.modules
    reason = "is offered by the packages 'copycat' and 'fusionkit'; uninstall all but one of them"
    listed = fusionkit("models")
    assert f"tinyworld/...  broken, of packages 'copycat' and 'fusionkit': {reason}\n" in listed.out
    assert "copycat" not in sys.modules, "nothing of it needs to run for that"
    ran = fusionkit("validate", "panorama-tinyworld")
    assert ran.code == 2
    assert ran.err.endswith(
        f"model 'tinyworld/scenes' is not there: 'tinyworld/...' of packages 'copycat' and 'fusionkit': {reason}\n"
    )


@pytest.mark.parametrize(
    ("entry", "value", "reason"),
    [
        ("tinyworld/extra", "MODELS", ""),
        ("other", "NETS", "copycat:NETS: TypeError: 'other/canny' is no EmbeddedModel"),
    ],
)
def test_what_is_offered_beside_them_is_looked_at(
    fusionkit: Run, add: Add, entry: str, value: str, reason: str
) -> None:
    add("copycat", MODELS, models={entry: value})
    listed = fusionkit("models").out
    assert "tinyworld/scenes  " in listed
    assert (f"{entry}/...  broken, of package 'copycat': {reason}" in listed) == bool(reason)


def test_two_packages_whose_names_meet_are_refused(add: Add) -> None:
    from fusionkit.models.embedded import broken_packages, embedded_models, why_missing

    add("one", MODELS.replace('"scenes"', '"b/c"'), models={"a": "MODELS"})
    add("two", MODELS.replace('"scenes"', '"c"'), models={"a/b": "MODELS"})
    assert not [name for name in embedded_models() if name.startswith("a/")]
    reason = "'a/b/c' is offered by the packages 'one' and 'two'; uninstall all but one of them"
    assert broken_packages() == {"a": reason, "a/b": reason}
    assert why_missing("a/b/c") == f"'a/b/c' is not there: 'a/b/...' of package 'two': {reason}"
