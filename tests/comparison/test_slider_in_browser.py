"""The viewer's slider in a real browser: one picture over another, with a divider."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from page_example import Open
from PIL import Image
from playwright.sync_api import Page, expect
from viewer_looks import loaded, middle, opened, shown, transforms


def percent(page: Page) -> float:
    """How much of picture A is seen, by its clip."""
    clip = page.locator(".over").evaluate("over => over.style.clipPath")
    found = re.fullmatch(r"inset\(0(?:px)? ([\d.]+)% 0(?:px)? 0(?:px)?\)", clip)
    assert found, clip
    return 100 - float(found[1])


def colours(page: Page, *parts: float) -> list[str]:
    """Which settings' colours are seen in the middle of the frame, at parts of its width."""
    image = Image.open(io.BytesIO(page.locator(".frame").screenshot())).convert("RGB")
    names = {(0xB0, 0x30, 0x30): "md", (0x30, 0xA0, 0x50): "gf", (0x30, 0x50, 0xB0): "vcf"}
    pixels = [image.getpixel((int(part * image.width), image.height // 2)) for part in parts]
    return [names.get(pixel, str(pixel)) for pixel in pixels if isinstance(pixel, tuple)]


def test_the_slider_clips_one_picture_over_the_other(open_page: Open) -> None:
    page = opened(open_page)
    page.get_by_role("button", name="Slider").click()
    loaded(page, 1)
    handle = page.get_by_role("slider")
    assert percent(page) == 50
    assert colours(page, 0.1, 0.4, 0.6, 0.9) == ["md", "md", "gf", "gf"]
    x, y = middle(handle)
    page.mouse.move(x, y)
    page.mouse.down()
    box = page.locator(".frame").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.2 * box["width"], y + 30, steps=4)
    page.mouse.up()
    page.mouse.move(box["x"] + 0.2 * box["width"] + 15, y)
    assert percent(page) == pytest.approx(20, abs=0.1), "the pointer has let it go"
    assert colours(page, 0.1, 0.4, 0.6, 0.9) == ["md", "gf", "gf", "gf"]
    assert middle(handle)[0] == pytest.approx(box["x"] + 0.2 * box["width"], abs=1)
    expect(handle).to_have_attribute("aria-valuenow", "20")
    expect(handle).to_have_attribute("aria-valuetext", "20 % MultiDiffusion, 80 % Guided Fusion")
    assert [each.zoom for each in shown(page)] == [1, 1], "the pictures stayed where they were"
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 100, y)
    assert percent(page) == pytest.approx(20, abs=0.1), "only the divider moves the divider"
    page.mouse.up()


def test_the_slider_moves_by_keys(open_page: Open) -> None:
    page = opened(open_page)
    page.keyboard.press("s")
    loaded(page, 1)
    for _ in range(8):
        page.keyboard.press("+")
    handle = page.get_by_role("slider")
    handle.focus()
    before = transforms(page)
    for key, expected in {"ArrowRight": 52, "Shift+ArrowRight": 62, "ArrowLeft": 60, "Home": 0, "End": 100}.items():
        page.keyboard.press(key)
        assert percent(page) == expected, key
    assert transforms(page) == before, "the pictures could move, and did not"
    page.keyboard.press("s")
    loaded(page, 3)


def test_the_slider_moves_by_touch(open_page: Open) -> None:
    page = open_page(address="#open=0.0&mode=slider", size=(390, 844), has_touch=True)
    loaded(page, 1)
    x, y = middle(page.get_by_role("slider"))
    session = page.context.new_cdp_session(page)
    for kind, points in ("touchStart", [x]), ("touchMove", [x + 40]), ("touchMove", [x + 80]), ("touchEnd", []):
        session.send(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": each, "y": y} for each in points]}
        )
    box = page.locator(".frame").bounding_box()
    assert box is not None
    assert percent(page) == pytest.approx(100 * (x + 80 - box["x"]) / box["width"], abs=0.5)


def test_any_two_pictures_lie_over_each_other_in_step(open_page: Open) -> None:
    page = opened(open_page)
    page.keyboard.press("s")
    page.get_by_role("combobox", name="A", exact=True).select_option("Variance correction")
    page.get_by_role("combobox", name="B", exact=True).select_option("MultiDiffusion")
    loaded(page, 1)
    assert colours(page, 0.25, 0.75) == ["vcf", "md"]
    x, y = middle(page.locator(".frame"))
    page.mouse.move(x + 150, y + 20)
    page.mouse.wheel(0, -900)
    page.mouse.down()
    page.mouse.move(x + 190, y + 20)
    page.mouse.up()
    panes = shown(page)
    assert panes[0].zoom == pytest.approx(np.exp(1.35), abs=1e-3)
    assert len(set(transforms(page))) == 1
    assert percent(page) == 50, "the divider stays while the pictures move"
    page.reload()
    loaded(page, 1)
    assert colours(page, 0.25, 0.75) == ["vcf", "md"]
    page.keyboard.press("n")
    expect(page.locator("#viewer-title")).to_have_text("a beach at noon seed 5")
    loaded(page, 1)


def test_a_picture_that_is_not_drawn_is_a_gap_under_the_slider(open_page: Open) -> None:
    page = open_page(address="#open=1.5&mode=slider&a=md&b=vcf")
    loaded(page, 1)
    expect(page.locator(".frame .missing")).to_have_text("not drawn")
    assert colours(page, 0.25) == ["md"]
