from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner
from docs_pages import DOCS, script

from fusionkit import registry
from fusionkit.cli import main


@pytest.fixture(scope="session")
def tables() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)  # as where the script is run
        yield script("tables")


@pytest.fixture(scope="session")
def pictures() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)  # as where the script is run
        yield script("make_pictures")


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory) -> Path:
    """The example plugin, as `fusionkit new-plugin` writes it, installed by pip into a folder of its own."""
    work = tmp_path_factory.mktemp("example")
    source = work / "source"
    written = CliRunner().invoke(main, ["new-plugin", "sky-and-sea", "-o", str(source)])
    assert written.exit_code == 0, written.output
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(work / "installed"), str(source)], check=True)
    return work / "installed"


@pytest.fixture
def example_installed(example_folder, monkeypatch) -> Iterator[Path]:
    """The example plugin, as a package of this process."""
    monkeypatch.syspath_prepend(example_folder)
    registry.forget()
    yield example_folder
    registry.forget()
    sys.modules.pop("fusionkit_sky_and_sea", None)
