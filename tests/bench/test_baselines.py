"""Baselines of other packages are found, and a broken one is named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from fusionkit.bench.baselines import BASELINES, AnotherRecipe, Baseline, find

OWN = '''
from fusionkit.bench.baselines import Baseline, Contestant

class Nothing(Baseline):
    """Nothing at all."""

    def contestants(self, drawing, noted):
        return [Contestant(self.name, lambda clock: None)]
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Installs a package that offers a baseline `nothing`, from its code, for one test."""

    def add(code: str) -> None:
        info = tmp_path / "site" / "theirs-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[fusionkit.baselines]\nnothing = their_baselines:Nothing\n")
        (info.parent / "their_baselines.py").write_text(code)
        monkeypatch.syspath_prepend(str(info.parent))
        BASELINES.forget()

    yield add
    BASELINES.forget()
    sys.modules.pop("their_baselines", None)


def test_those_that_come_with_fusionkit_are_offered() -> None:
    ours = [name for name, (entry,) in BASELINES.entries.items() if entry.value.startswith("fusionkit.")]
    assert ours == ["diffusers-panorama", "forward-passes", "single", "unmeasured"]
    for name in ours:
        found = find(name)
        assert isinstance(found, Baseline)
        assert found.name == name
        assert type(found).__doc__


def test_a_bundled_recipe_is_a_baseline_with_changes_behind_its_name() -> None:
    found = find("panorama-tinyworld steps=4 plugins.multidiffusion.stride=48", {"device": "cpu"})
    assert isinstance(found, AnotherRecipe)
    assert (found.name, found.recipe.steps, found.recipe.device) == (
        "panorama-tinyworld steps=4 plugins.multidiffusion.stride=48",
        4,
        "cpu",
    )
    assert found.recipe.plugins[1].options() == {"stride": 48}


def test_a_third_party_adds_one(install: Callable[[str], None], fusionkit: Callable[..., Result]) -> None:
    install(OWN)
    ran = fusionkit("bench", "r.yaml", "--runs", "1", "-q", "--set", "steps=1", "--baseline", "nothing")
    assert ran.exit_code == 0, ran.output
    assert "\nnothing " in ran.output


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (
            "import nosuchmodule",
            "baseline 'nothing' of package 'theirs' can't be imported (their_baselines:Nothing): "
            "ModuleNotFoundError: No module named 'nosuchmodule'",
        ),
        (
            "Nothing = 3",
            "baseline 'nothing' of package 'theirs' is 3, not a subclass of fusionkit.bench.baselines.Baseline",
        ),
    ],
    ids=["import", "kind"],
)
def test_a_broken_one_is_named(
    code: str, line: str, install: Callable[[str], None], fusionkit: Callable[..., Result]
) -> None:
    install(code)
    ran = fusionkit("bench", "r.yaml", "--baseline", "nothing")
    assert (ran.exit_code, ran.output) == (2, f"{line}\n")
