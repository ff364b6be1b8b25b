"""What is seen in the table and the plot of a comparison's page."""

from __future__ import annotations

from playwright.sync_api import Locator, Page


def cell(page: Page, setting: str, column: int) -> Locator:
    return page.locator(f"#scores tr[data-setting='{setting}'] td").nth(column)


def order(page: Page) -> list[str | None]:
    return [each.get_attribute("data-setting") for each in page.locator("#scores tbody tr").all()]


def marked(page: Page, kind: str) -> list[str]:
    """Where the table has a mark: setting and column, from 0."""
    return page.evaluate(
        """kind => [...document.querySelectorAll(`#scores td.${kind}`)].map(
            cell => `${cell.parentElement.dataset.setting} ${cell.cellIndex - 1}`)""",
        kind,
    )


def heading(page: Page, name: str) -> Locator:
    return page.locator("#scores thead").get_by_role("button", name=name)


def position(page: Page, axis: str, value: float, *, logarithmic: bool = False) -> float:
    """Where a value is on an axis, by its ticks: the first and the last one, in pixels."""
    from math import log10

    ticks = page.evaluate(
        """axis => [...document.querySelectorAll(`#plot .tick.${axis}`)].map(
            tick => [Number(tick.dataset.value), Number(tick.getAttribute(axis))])""",
        axis,
    )
    scale = log10 if logarithmic else float
    (low, start), (high, end) = ticks[0], ticks[-1]
    return start + (scale(value) - scale(low)) / (scale(high) - scale(low)) * (end - start)


def points(page: Page) -> dict[str, tuple[float, float]]:
    return {
        point.get_attribute("data-setting") or "": (
            float(point.locator(".dot").get_attribute("cx") or "nan"),
            float(point.locator(".dot").get_attribute("cy") or "nan"),
        )
        for point in page.locator("#plot .point").all()
    }
