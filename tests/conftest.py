"""What all tests share."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Nothing in the tests may depend on the network, and tiny models run quickest in one thread.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


# What Debian, Ubuntu, Fedora, Google and Microsoft call it.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")

LONG = (
    "test_types.py",
    "test_style.py",
    "test_docs_pages.py",
    "test_first_party.py",
    "test_ray_pool.py",
    "test_vista_training.py",
    "test_vista_specials.py",
)
"""Files of a minute, and long ones of the last folders: they begin, so that no process is alone with one in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(scope="module", autouse=True)
def _what_lives_is_not_looked_through() -> None:
    """Libraries are a million objects, which each collection of garbage would go through: a second, in some tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Signals work as in a terminal; background jobs start without Ctrl-C, and those of `nohup` without SIGHUP."""
    before = {signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler)}
    if hasattr(signal, "SIGHUP"):
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's browser, without a window; one for all tests."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if not found:
        pytest.skip(f"no browser to try the page in: install one of {', '.join(BROWSERS)}")
    from playwright.sync_api import expect, sync_playwright

    # Long, since other tests may keep the machine busy.
    expect.set_options(timeout=30_000)

    # Chromium refuses to start its sandbox for root, as in a container.
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()
