"""The cases: every family's, from the files beside this one."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_parts import Case, cases, lacking


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`case` is each of them in turn; `family`, the first of each family, for what no setting of a model changes."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", list(map(skippable, cases())), ids=str)
    if "family" in metafunc.fixturenames:
        first = {case.kind: case for case in reversed(cases())}
        metafunc.parametrize("family", list(map(skippable, reversed(first.values()))), ids=str)


def skippable(case: Case) -> Any:
    """A case, skipped where a library is missing that only its family needs."""
    reason = lacking(case)
    return pytest.param(case, marks=pytest.mark.skipif(bool(reason), reason=f"{case} {reason}"))
