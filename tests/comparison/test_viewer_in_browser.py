"""The viewer in a real browser: pictures at full size, zoom and pan in step."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_example import Open, make_picture
from PIL import Image
from playwright.sync_api import Page, expect
from viewer_looks import loaded, middle, opened, settle, shown, transforms


@pytest.fixture
def squares(report: dict[str, Any]) -> dict[str, Any]:
    """A report of two square pictures that are larger than their panes."""
    report["settings"], report["prompts"], report["seeds"] = report["settings"][:2], report["prompts"][:1], [0]
    report["pictures"] = [make_picture(name, 0, 0) | {"width": 1000, "height": 1000} for name in ("md", "gf")]
    return report


# Opening


def test_a_click_opens_all_settings_and_only_then_full_size_files_load(open_page: Open, asked: list[str]) -> None:
    page = open_page(fresh=True)
    asked.clear()
    page.locator("[data-row='0.5'] [data-setting='gf'] a").click()
    loaded(page, 3)
    expect(page.locator("#viewer-title")).to_have_text("a beach at noon seed 5")
    assert sorted(url.rpartition("/pictures/")[2] for url in asked if url.endswith(".png")) == [
        "gf/p00-s5.png",
        "md/p00-s5.png",
        "vcf/p00-s5.png",
    ]
    expect(page.locator(".stage figcaption b")).to_have_text(["MultiDiffusion", "Guided Fusion", "Variance correction"])
    expect(page.locator(".stage figcaption span").first).to_have_text("Seam 1.25 · 2.10 s")
    assert page.url.endswith("#open=0.5")
    page.reload()
    loaded(page, 3)


def test_only_shown_settings_are_opened_and_gaps_stay_gaps(open_page: Open) -> None:
    page = open_page(address="#settings=gf&settings=vcf&open=1.5")
    loaded(page, 1)
    expect(page.locator(".stage figure")).to_have_count(2)
    expect(page.locator(".stage .missing")).to_have_text("not drawn")


def test_closing_frees_the_pictures_and_returns_to_the_thumbnail(open_page: Open) -> None:
    page = open_page()
    link = page.locator("[data-row='0.0'] a").nth(1)
    link.focus()
    page.keyboard.press("Enter")
    loaded(page, 3)
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.locator(".full")).to_have_count(0)
    expect(link).to_be_focused()
    assert page.url.partition("#")[2] == ""
    page.keyboard.press("Enter")
    loaded(page, 3)
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#viewer")).to_be_hidden()
    page.keyboard.press("Enter")
    loaded(page, 3)
    page.go_back()
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.locator("h1")).to_be_visible()
    page.go_forward()
    loaded(page, 3)


def test_next_and_previous_keep_to_the_filters_and_to_the_region(open_page: Open) -> None:
    page = opened(open_page, address="#seeds=0")
    previous, following = page.get_by_role("button", name="Previous"), page.get_by_role("button", name="Next")
    expect(previous).to_be_disabled()
    for key in ("+", "+", "ArrowRight"):
        page.keyboard.press(key)
    before = transforms(page)
    page.keyboard.press("n")
    expect(page.locator("#viewer-title")).to_have_text("a city at night seed 0")
    expect(following).to_be_disabled()
    loaded(page, 3)
    assert transforms(page) == before
    page.keyboard.press("n")
    expect(page.locator("#viewer-title")).to_have_text("a city at night seed 0")
    previous.click()
    expect(page.locator("#viewer-title")).to_have_text("a beach at noon seed 0")
    page.keyboard.press("PageDown")
    expect(page.locator("#viewer-title")).to_have_text("a city at night seed 0")


def columns_of(page: Page) -> list[float]:
    """Left borders of the panes' columns."""
    return sorted({round(box["x"]) for each in page.locator(".frame").all() if (box := each.bounding_box())})


def test_panoramas_are_below_each_other(open_page: Open) -> None:
    assert len(columns_of(opened(open_page))) == 1


def test_squares_are_side_by_side(open_page: Open, squares: dict[str, Any]) -> None:
    assert len(columns_of(opened(open_page, squares, panes=2))) == 2


# Zoom and pan in step


def test_the_wheel_zooms_all_panes_at_the_pointer(open_page: Open) -> None:
    page = opened(open_page)
    before = shown(page)
    assert [each.zoom for each in before] == [1, 1, 1]
    x, y = middle(page.locator(".frame").nth(1))
    at = (100, 20)
    page.mouse.move(x + at[0], y + at[1])
    page.mouse.wheel(0, -600)
    after = shown(page)
    assert len(set(transforms(page))) == 1, "the third picture has twice the size, and is seen alike"
    for old, new in zip(before, after, strict=True):
        assert new.zoom == pytest.approx(np.exp(0.9), abs=1e-4)
        # What was under the pointer still is, to the pixel that transforms are rounded to.
        point = [(old.frame[axis] / 2 + at[axis] - old[axis]) / old.zoom for axis in (0, 1)]
        assert new.left + point[0] * new.zoom == pytest.approx(new.frame[0] / 2 + at[0], abs=1)
        assert new.top + point[1] * new.zoom == pytest.approx(new.frame[1] / 2 + at[1], abs=1)
    page.mouse.wheel(0, 5000)
    assert shown(page) == before, "no further out than the whole pictures"
    page.mouse.wheel(0, -100_000)
    third = shown(page)[2]
    assert third.zoom * third.width / 320 == pytest.approx(32, abs=0.01), "a pixel has at most 32 a side"


def test_a_drag_in_one_pane_moves_all(open_page: Open) -> None:
    page = opened(open_page)
    for _ in range(8):
        page.keyboard.press("+")
    before = shown(page)
    assert before[0].zoom == pytest.approx(1.25**8, abs=1e-4)
    x, y = middle(page.locator(".frame").last)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 37, y - 21, steps=3)
    page.mouse.up()
    page.mouse.move(x + 200, y)
    after = shown(page)
    for old, new in zip(before, after, strict=True):
        assert (new.left - old.left, new.top - old.top, new.zoom) == pytest.approx((37, -21, old.zoom), abs=1)
    assert len(set(transforms(page))) == 1


def test_a_drag_ends_at_the_pictures_border(open_page: Open) -> None:
    page = opened(open_page)
    for _ in range(8):
        page.keyboard.press("+")
    x, y = middle(page.locator(".frame").first)
    page.mouse.move(x, y)
    page.mouse.down()
    for _ in range(6):
        page.mouse.move(x + 600, y)
        page.mouse.up()
        page.mouse.move(x, y)
        page.mouse.down()
    page.mouse.up()
    assert [each.left for each in shown(page)] == [0, 0, 0]


def test_keys_zoom_and_pan(open_page: Open) -> None:
    page = opened(open_page)
    whole = shown(page)
    for _ in range(8):
        page.keyboard.press("+")
    near = shown(page)
    for key, moved in {
        "ArrowRight": (-60, 0),
        "ArrowDown": (0, -60),
        "Shift+ArrowLeft": (300, 0),
        "ArrowUp": (0, 60),
    }.items():
        before = shown(page)
        page.keyboard.press(key)
        assert [(new.left - old.left, new.top - old.top) for old, new in zip(before, shown(page), strict=True)] == [
            pytest.approx(moved, abs=1)
        ] * 3, key
    page.keyboard.press("-")
    assert [each.zoom for each in shown(page)] == pytest.approx([near[0].zoom / 1.25] * 3, abs=1e-4)
    page.keyboard.press("0")
    assert shown(page) == whole
    page.keyboard.press("1")
    assert shown(page)[0].zoom * shown(page)[0].width == pytest.approx(max(160, whole[0].width), abs=0.01)


def test_buttons_do_as_the_keys(open_page: Open) -> None:
    page = opened(open_page)
    page.get_by_role("button", name="Zoom in").click()
    assert [each.zoom for each in shown(page)] == [1.25] * 3
    page.get_by_role("button", name="Zoom out").click()
    assert [each.zoom for each in shown(page)] == [1] * 3
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Whole pictures").click()
    assert [each.zoom for each in shown(page)] == [1] * 3
    first = shown(page)[0]
    expect(page.locator(".level")).to_have_text(f"{100 * first.width / 160:.0f} %")


def test_pictures_of_other_proportions_have_the_same_centre(open_page: Open, report: dict[str, Any]) -> None:
    for picture in report["pictures"]:
        if picture["setting"] == "vcf":
            picture |= {"width": 120, "height": 90}
    page = opened(open_page, report)
    x, y = middle(page.locator(".frame").first)
    page.mouse.move(x + 30, y - 10)
    page.mouse.wheel(0, -2200)
    panes = shown(page)
    assert len({(each.width, each.height) for each in panes}) == 2
    for pane in panes:
        assert pane.centre == pytest.approx(panes[0].centre, abs=0.5 / (panes[0].zoom * 40))


def test_a_pinch_zooms_all_panes(open_page: Open) -> None:
    page = open_page(size=(390, 844), has_touch=True)
    page.locator("[data-row='0.0'] a").first.tap()
    loaded(page, 3)
    x, y = middle(page.locator(".frame").nth(1))
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        given = [{"x": left, "y": top, "id": index} for index, (left, top) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": given})

    touch("touchStart", (x - 20, y), (x + 20, y))
    for distance in (30, 40, 60):
        touch("touchMove", (x - distance, y), (x + distance, y))
    touch("touchEnd")
    panes = shown(page)
    assert [each.zoom for each in panes] == pytest.approx([3] * 3, abs=0.01)
    assert len(set(transforms(page))) == 1
    touch("touchStart", (x, y))
    touch("touchMove", (x + 25, y))
    touch("touchEnd")
    assert [new.left - old.left for old, new in zip(panes, shown(page), strict=True)] == [pytest.approx(25, abs=1)] * 3


def test_at_its_own_size_each_pixel_is_one_of_the_screen(
    open_page: Open, squares: dict[str, Any], tmp_path: Path
) -> None:
    page = opened(open_page, squares, panes=2)
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / squares["pictures"][0]["file"])
    page.reload()
    loaded(page, 2)
    for keys, zoom in (["1"], 1.0), (["+"] * 4, 1.25**4):
        for key in keys:
            page.keyboard.press(key)
        pane = shown(page)[0]
        assert pane.zoom * pane.width / 1000 == pytest.approx(zoom, abs=1e-3)
        image = Image.open(io.BytesIO(page.locator(".frame").first.screenshot())).convert("RGB")
        found = np.asarray(image)[10:300, 10:300]
        across, down = (((np.arange(10, 300) + 0.5 - offset) / zoom).astype(int) for offset in (pane.left, pane.top))
        # Magnified, a few of the screen's pixels lie on the border of two of the picture's.
        assert (found == pixels[down][:, across]).all(axis=2).mean() > (0.95 if zoom > 1 else 0.9999)


def test_only_magnified_pixels_are_squares(open_page: Open, squares: dict[str, Any]) -> None:
    page = opened(open_page, squares, panes=2)
    rendering = "image => getComputedStyle(image).imageRendering"
    assert page.locator(".full").first.evaluate(rendering) == "auto"
    page.keyboard.press("1")
    page.keyboard.press("+")
    settle(page)
    assert page.locator(".full").first.evaluate(rendering) == "pixelated"


def test_zoom_and_pan_lay_nothing_out(open_page: Open) -> None:
    page = opened(open_page)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def layouts() -> float:
        settle(page)
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "LayoutCount")

    page.keyboard.press("+")
    x, y = middle(page.locator(".frame").first)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 5, y)
    before = layouts()
    for step in range(20):
        page.mouse.move(x + step, y + step)
        settle(page)
    assert layouts() == before
