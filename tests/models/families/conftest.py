"""The cases: every family's, from the files beside this one."""

from __future__ import annotations

import pytest
from tiny_parts import cases


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`case` is each of them in turn; `family`, the first of each family, for what no setting of a model changes."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases(), ids=str)
    if "family" in metafunc.fixturenames:
        first = {case.kind: case for case in reversed(cases())}
        metafunc.parametrize("family", list(reversed(first.values())), ids=str)
