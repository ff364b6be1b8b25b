from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from docs_pages import DOCS

from fusionkit import registry


def script(name: str) -> ModuleType:
    """A script of the folder docs, as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tables() -> ModuleType:
    return script("tables")


@pytest.fixture(scope="session")
def pictures() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)  # as where the script is run
        yield script("make_pictures")


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory) -> Path:
    """The example plugin, installed by pip from a copy of its folder into a folder of its own."""
    work = tmp_path_factory.mktemp("example")
    ignore = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", ".*_cache")
    source = shutil.copytree(DOCS / "example_plugin", work / "source", ignore=ignore)
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
