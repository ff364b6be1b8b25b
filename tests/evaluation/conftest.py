"""A command line that ends a test's command with its exit code, and packages that offer metrics."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fusionkit.cli import main
from fusionkit.evaluation.registry import FEATURES, METRICS

Install = Callable[[str, str, str], Path]


class Ran(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def fusionkit(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command in this process."""

    def run(*args: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(each) for each in args], prog_name="fusionkit")
        out, err = capsys.readouterr()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, out, err)

    return run


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package from its name, its code and its entry points, as an installer leaves it, for one test."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    modules: list[str] = []

    def add(name: str, code: str, entry_points: str) -> Path:
        modules.append(name)
        (site / f"{name}.py").write_text(code, encoding="utf-8")
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        forget()
        return site

    def forget() -> None:
        METRICS.forget()
        FEATURES.forget()

    yield add
    for module in modules:
        sys.modules.pop(module, None)
    forget()
