"""A world for each module of tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from watched import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Folders for one process that is watched."""
    found = World(Path(tmp_path_factory.mktemp("world")).resolve())
    found.make()
    return found
