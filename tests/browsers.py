"""The system's browser, for tests that look at pages; they are skipped where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# What Debian, Ubuntu, Fedora, Google and Microsoft call it.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")


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
