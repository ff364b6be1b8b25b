"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

# Nothing in the tests may depend on the network, and tiny models run quickest in one thread.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


LONG = (
    "test_types.py",
    "test_style.py",
    "test_docs_pages.py",
    "test_first_party.py",
    "test_vista_training.py",
    "test_vista_specials.py",
)
"""Files of a minute, and long ones of the last folders: they begin, so that no process is alone with one in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Signals work as in a terminal; background jobs start without Ctrl-C, and those of `nohup` without SIGHUP."""
    before = {signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler)}
    if hasattr(signal, "SIGHUP"):
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
