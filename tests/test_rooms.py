"""The house: a room imports from the rooms below it alone, and nothing imports in a circle; types count as well."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = (
    "bench",
    "cli",
    "comparison",
    "distributed",
    "doctor",
    "drawing",
    "evaluation",
    "loop",
    "models",
    "pictures",
    "recipe",
    "runs",
    "starts",
    "studio",
    "testing",
)
MODULES = (
    "__main__",
    "canvas",
    "errors",
    "foreign",
    "fusion",
    "keeping",
    "layers",
    "map_pictures",
    "plugin",
    "registry",
    "trust",
)


def contracts_of(folder: Path) -> subprocess.CompletedProcess[str]:
    """What the contracts of `pyproject.toml` say of the package `fusionkit` in a folder."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache', 'pyproject.toml'])"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def test_the_house_keeps_its_contracts() -> None:
    told = contracts_of(ROOT)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Contracts: 2 kept, 0 broken." in told.stdout


@pytest.fixture
def empty_house(tmp_path: Path) -> Path:
    """The rooms with nothing in them but the two files whose types name each other, under the same contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in (tmp_path / "fusionkit", *(tmp_path / "fusionkit" / room for room in ROOMS)):
        folder.mkdir()
        (folder / "__init__.py").touch()
    for module in MODULES:
        (tmp_path / "fusionkit" / f"{module}.py").touch()
    (tmp_path / "fusionkit/loop/model.py").write_text("from fusionkit.loop.stage import Stage\n")
    (tmp_path / "fusionkit/loop/stage.py").write_text("from fusionkit.loop.model import Model\n")
    return tmp_path


def test_the_picture_shows_each_room_and_draws_no_arrow_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    house = importlib.import_module("house")
    whole = house.rooms()
    assert {*ROOMS, "faces", "ground"} == set(whole)
    assert {"loop", "models", "recipe"} <= whole["runs"]
    assert importlib.import_module("fusionkit.canvas").gather is importlib.import_module("fusionkit").gather
    assert house.reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": {"b"}, "b": {"c"}, "c": set()}
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert house.drawn() in page, "run: python docs/house.py"
    assert "by_name.py" in house.picture("fusionkit.models.schedulers")


FOR_TYPES = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from {} import Thing\n"
INSIDE = "def work():\n    from {} import Thing\n"


@pytest.mark.parametrize(
    ("room", "imports", "what"),
    [
        ("loop/new.py", FOR_TYPES.format("fusionkit.models.new"), "fusionkit.loop.new -> fusionkit.models.new (l.4)"),
        ("recipe/new.py", INSIDE.format("fusionkit.models.new"), "fusionkit.recipe.new -> fusionkit.models.new (l.2)"),
        ("errors.py", "import fusionkit.fusion\n", "fusionkit.errors -> fusionkit.fusion (l.1)"),
        ("cellar.py", "", "fusionkit.cellar"),
        ("models/new.py", "from fusionkit.models.other import Thing\n", "No cycles are allowed in fusionkit.models."),
    ],
    ids=["for types", "inside a function", "into the ground", "a room without a place", "a circle"],
)
def test_an_arrow_that_is_turned_is_found(empty_house: Path, room: str, imports: str, what: str) -> None:
    (empty_house / "fusionkit/models/other.py").write_text("from fusionkit.models.new import Thing\n")
    (empty_house / "fusionkit/models/new.py").touch()
    before = contracts_of(empty_house)
    assert before.returncode == 0, before.stdout + before.stderr
    (empty_house / "fusionkit" / room).write_text(imports)
    told = contracts_of(empty_house)
    assert told.returncode == 1
    assert what in told.stdout
