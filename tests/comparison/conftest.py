"""A comparison's folder with its page, and a tab of a real browser that looks at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from page_example import Open, Write, draw, make_report

from fusionkit.comparison.page import make_thumbnails, write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def report() -> dict[str, Any]:
    return make_report()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Draws a report's pictures, and writes its page."""

    def write(report: dict[str, Any]) -> Path:
        draw(tmp_path, report)
        make_thumbnails(tmp_path, report)
        return write_page(tmp_path, report)

    return write


@pytest.fixture(scope="session")
def tab(browser: Browser) -> Callable[[bool], Page]:
    """A tab of the browser for a mouse, or one for touch; each is made once, which halves the time of the tests."""
    made: dict[bool, Page] = {}

    def tab(has_touch: bool) -> Page:
        if has_touch not in made:
            made[has_touch] = browser.new_context(has_touch=has_touch).new_page()
        return made[has_touch]

    return tab


@pytest.fixture
def asked() -> list[str]:
    """The addresses that the page has asked for."""
    return []


@pytest.fixture
def open_page(tab: Callable[[bool], Page], write: Write, report: dict[str, Any], asked: list[str]) -> Iterator[Open]:
    """Opens the page of a report; at the end it must have been quiet and asked for nothing but files."""
    used: list[Page] = []
    said: list[str] = []
    handlers: dict[Any, Callable[..., None]] = {
        "console": lambda message: said.append(f"{message.type}: {message.text}"),
        "pageerror": lambda error: said.append(f"error: {error}"),
        "request": lambda request: asked.append(request.url),
    }

    def open_page(
        given: dict[str, Any] | None = None,
        address: str = "",
        *,
        size: tuple[int, int] = (1280, 800),
        has_touch: bool = False,
        scheme: Literal["light", "dark"] = "light",
    ) -> Page:
        path = write(given or report)
        page = tab(has_touch)
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.emulate_media(color_scheme=scheme)
        if page not in used:
            used.append(page)
            for name, handler in handlers.items():
                page.on(name, handler)
        page.goto(path.as_uri() + address)
        return page

    yield open_page
    for page in used:
        page.goto("about:blank")
        for name, handler in handlers.items():
            page.remove_listener(name, handler)
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "about:"))] == []
