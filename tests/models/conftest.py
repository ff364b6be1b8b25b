"""Fixtures over the kinds of models."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import CHECKPOINTS, KINDS, plain


@pytest.fixture(scope="session")
def checkpoint() -> Callable[[str], str]:
    return lambda kind: str(CHECKPOINTS / f"tiny-{kind}")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pipe(kind: str) -> Any:
    return plain(kind)


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a tiny checkpoint, to be damaged."""
    return lambda kind: Path(shutil.copytree(CHECKPOINTS / f"tiny-{kind}", tmp_path / kind))
