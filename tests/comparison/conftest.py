"""A comparison's folder with its page, and a tab of a real browser that looks at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from page_example import Open, Write, draw, make_report

from fusionkit.comparison.page import make_thumbnails, write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def report() -> dict[str, Any]:
    return make_report()


def _write(folder: Path, report: dict[str, Any]) -> Path:
    draw(folder, report)
    make_thumbnails(folder, report)
    return write_page(folder, report)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Draws a report's pictures, and writes its page."""
    return lambda report: _write(tmp_path, report)


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the example as it is, written once."""
    return _write(tmp_path_factory.mktemp("example"), make_report())


BEGIN_ANEW = """async address => {
    for (const each of document.querySelectorAll("details[open]")) each.open = false;
    document.activeElement?.blur();
    scrollTo(0, 0);
    if (location.hash === address) return;
    const done = new Promise(resolve => addEventListener("hashchange", resolve, { once: true }));
    location.hash = address;
    await done;
}"""
"""What a loaded page does in place of being loaded again, which takes ten times as long: all that one chooses in it is
in its address."""


class Tab:
    """A tab of the browser, and how large its window is."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.emulate_media(color_scheme="light")

    def set_up(self, size: tuple[int, int]) -> None:
        """Give the window its size; the browser takes long for it, also where nothing changes."""
        wanted = {"width": size[0], "height": size[1]}
        if self.page.viewport_size != wanted:
            self.page.set_viewport_size({"width": size[0], "height": size[1]})


@pytest.fixture(scope="session")
def tab(browser: Browser) -> Callable[[bool], Tab]:
    """A tab of the browser for a mouse, or one for touch; each is made once, which halves the time of the tests."""
    made: dict[bool, Tab] = {}

    def tab(has_touch: bool) -> Tab:
        if has_touch not in made:
            made[has_touch] = Tab(browser.new_context(has_touch=has_touch).new_page())
        return made[has_touch]

    return tab


@pytest.fixture
def asked() -> list[str]:
    """The addresses that the page has asked for."""
    return []


@pytest.fixture
def open_page(tab: Callable[[bool], Tab], write: Write, example: Path, asked: list[str]) -> Iterator[Open]:
    """Opens the page of a report, or of the example; at the end it must have been quiet and asked for files alone.

    The example is loaded once, and begins anew for the next test, but where that asks for a `fresh` one.
    """
    used: list[Page] = []
    said: list[str] = []
    handlers: dict[Any, Callable[..., None]] = {
        "console": lambda message: said.append(f"{message.type}: {message.text}"),
        "pageerror": lambda error: said.append(f"error: {error}"),
        "request": lambda request: asked.append(request.url),
    }

    def is_example(page: Page) -> bool:
        return page.url.partition("#")[0] == example.as_uri()

    def open_page(
        given: dict[str, Any] | None = None,
        address: str = "",
        *,
        size: tuple[int, int] = (1280, 800),
        has_touch: bool = False,
        fresh: bool = False,
    ) -> Page:
        path = example if given is None else write(given)
        one = tab(has_touch)
        one.set_up(size)
        if one.page not in used:
            used.append(one.page)
            for name, handler in handlers.items():
                one.page.on(name, handler)
        if given is None and not fresh and is_example(one.page):
            one.page.evaluate(BEGIN_ANEW, address)
        else:
            one.page.goto(path.as_uri() + address)
        return one.page

    yield open_page
    for page in used:
        if not is_example(page):
            page.goto("about:blank")
        for name, handler in handlers.items():
            page.remove_listener(name, handler)
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "about:"))] == []
