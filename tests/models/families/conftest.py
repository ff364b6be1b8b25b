"""The cases: every family's, from the files beside this one."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def cases() -> list[object]:
    """The `CASES` of each file `tiny_*.py`: another family is another file."""
    names = sorted(path.stem for path in HERE.glob("tiny_*.py") if path.stem != "tiny_parts")
    return [case for name in names for case in import_module(name).CASES]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases(), ids=str)
