"""Fixtures over the kinds of models."""

from __future__ import annotations

from collections.abc import Callable
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
