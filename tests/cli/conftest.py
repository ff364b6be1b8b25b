"""A folder to be in, a way to run commands, and packages to break."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import RECIPE, Install, Ran, Run

from fusionkit import registry
from fusionkit.cli import main


@pytest.fixture
def fusionkit(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command in this process."""

    def run(*args: str) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(args), prog_name="fusionkit")
        out, err = capsys.readouterr()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, out, err)

    return run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a test is in, with a recipe of a tiny model as `r.yaml`."""
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package with one plugin, from its code and the plugin's name, for one test."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    modules: list[str] = []

    def add(name: str, code: str) -> None:
        module = name.replace("-", "_")
        modules.append(module)
        (site / f"{module}.py").write_text(code)
        info = site / f"{module}_package-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[fusionkit.plugins]\n{name} = {module}:Broken\n")
        registry.forget()

    yield add
    for module in modules:
        sys.modules.pop(module, None)
    registry.forget()
