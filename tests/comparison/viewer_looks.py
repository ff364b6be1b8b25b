"""What is seen in the viewer of a comparison's page."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from page_example import Open
from playwright.sync_api import Locator, Page, expect


class Shown(NamedTuple):
    """A full-size picture in the viewer, in pixels of the page, relative to its frame."""

    left: float
    top: float
    zoom: float
    width: float
    """Of the whole picture, before the zoom; so is the height."""
    height: float
    frame: tuple[float, float]

    @property
    def centre(self) -> tuple[float, float]:
        """What part of the picture is in the middle of its frame, relative to the picture's sides."""
        x = (self.frame[0] / 2 - self.left) / (self.width * self.zoom)
        y = (self.frame[1] / 2 - self.top) / (self.height * self.zoom)
        return x, y


def settle(page: Page) -> None:
    """Wait for what was asked to be drawn: events move the pictures in the next frame."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def loaded(page: Page, count: int) -> None:
    expect(page.locator(".frame.loaded")).to_have_count(count)
    settle(page)


def shown(page: Page) -> list[Shown]:
    settle(page)
    found = page.evaluate(
        """() => [...document.querySelectorAll(".full")].map(image => {
            const frame = image.closest(".frame");
            const sizes = [image, frame].flatMap(each => [each.clientWidth, each.clientHeight]);
            return [image.style.transform, ...sizes];
        })"""
    )
    result = []
    for transform, width, height, *frame in found:
        left, top, zoom = (float(each) for each in re.findall(r"-?[\d.]+", transform))
        result.append(Shown(left, top, zoom, width, height, (frame[0], frame[1])))
    return result


def transforms(page: Page) -> list[str]:
    settle(page)
    found: list[str] = page.locator(".full").evaluate_all("images => images.map(image => image.style.transform)")
    return found


def middle(place: Locator) -> tuple[float, float]:
    box = place.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def opened(open_page: Open, report: dict[str, Any] | None = None, panes: int = 3, **options: Any) -> Page:
    """The viewer of the first prompt and seed."""
    page = open_page(report, **options)
    page.locator("[data-row='0.0'] a").first.click()
    loaded(page, panes)
    return page
