"""The page in a real browser: filters and pictures, hostile texts, narrow windows."""

from __future__ import annotations

from typing import Any

import pytest
from page_example import HOSTILE, Open, make_picture
from playwright.sync_api import Page, expect
from scores_looks import order, points


def shown_rows(page: Page) -> list[str | None]:
    return [each.get_attribute("data-row") for each in page.locator(".row").all() if each.is_visible()]


# Filters and pictures


def test_filters_hide_rows_and_the_address_keeps_them(open_page: Open) -> None:
    page = open_page()
    assert shown_rows(page) == ["0.0", "0.5", "1.0", "1.5"]
    page.locator("summary", has_text="Seeds").click()
    page.get_by_role("checkbox", name="seed 0").uncheck()
    assert shown_rows(page) == ["0.5", "1.5"]
    page.locator("summary", has_text="Prompts").click()
    page.get_by_role("checkbox", name="a beach at noon").uncheck()
    assert shown_rows(page) == ["1.5"]
    expect(page.get_by_role("status").last).to_have_text("1 of 4 rows")
    assert page.url.partition("#")[2] == "prompts=1&seeds=5"
    page.reload()
    assert shown_rows(page) == ["1.5"]
    expect(page.locator("summary", has_text="Prompts")).to_have_text("Prompts 1 of 2")
    page.locator("summary", has_text="Prompts").click()
    page.get_by_role("button", name="All", exact=True).click()
    assert shown_rows(page) == ["0.5", "1.5"]
    page.get_by_role("button", name="None", exact=True).click()
    assert shown_rows(page) == []
    expect(page.get_by_role("status").last).to_contain_text("choose at least one prompt")
    page.reload()
    assert shown_rows(page) == []


def test_menus_close_by_escape_and_a_click_elsewhere(open_page: Open) -> None:
    page = open_page()
    seeds = page.locator("details[data-list='seeds']")
    summary = seeds.locator("summary")
    summary.press("Enter")
    expect(seeds).to_have_attribute("open", "")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(seeds).not_to_have_attribute("open", "")
    expect(summary).to_be_focused()
    summary.click()
    page.locator(".page-foot").click()
    expect(seeds).not_to_have_attribute("open", "")


def test_a_setting_that_is_off_is_off_everywhere(open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Show Guided Fusion").uncheck()
    assert list(points(page)) == ["md", "vcf"]
    assert page.locator("#columns [data-setting]:visible").all_inner_texts() == [
        "MultiDiffusion",
        "Variance correction",
    ]
    assert page.locator("[data-row='0.0'] figure:visible").count() == 2
    assert page.url.partition("#")[2] == "settings=md&settings=vcf"
    page.get_by_label("Show all settings").check()
    assert list(points(page)) == ["md", "gf", "vcf"]
    assert page.url.partition("#")[2] == ""


def test_an_address_with_unknown_things_shows_all(open_page: Open) -> None:
    page = open_page(address="#settings=md&settings=else&seeds=7&sort=what&open=9.9&metric=no&%%")
    assert order(page) == ["md", "gf", "vcf"]
    assert page.locator("[data-row='0.0'] figure:visible").count() == 1
    assert shown_rows(page) == ["0.0", "0.5", "1.0", "1.5"]
    page.evaluate("location.hash = 'seeds=5'")
    expect(page.locator("[data-row='0.0']")).to_be_hidden()
    assert shown_rows(page) == ["0.5", "1.5"]


def test_the_grid_has_thumbnails_scores_and_gaps(open_page: Open) -> None:
    page = open_page()
    page.locator("#pictures").scroll_into_view_if_needed()
    images = page.locator("#pictures img")
    assert images.count() == 11
    assert images.first.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [
        160,
        40,
    ]
    given = ("src", "width", "height", "loading", "alt")
    last = page.locator("#pictures [data-setting='vcf'] img").last
    assert [last.get_attribute(name) for name in given] == [
        "thumbnails/vcf/p01-s0.webp",
        "320",
        "80",
        "lazy",
        "Variance correction: a city at night, seed 0",
    ]
    assert page.locator("[data-row='0.0'] figcaption").first.inner_text().split() == [
        "Seam",
        "1.25",
        "2.10",
        "s",
        "\N{NORTH EAST AND SOUTH WEST ARROW}",
    ]
    gap = page.locator("[data-row='1.5'] figure").last
    assert gap.inner_text() == "not drawn"
    assert gap.bounding_box() is not None


def test_the_grid_asks_for_no_full_size_picture(open_page: Open, asked: list[str]) -> None:
    page = open_page(fresh=True)
    page.locator(".page-foot").scroll_into_view_if_needed()
    page.locator("#pictures img").last.evaluate("image => image.decode()")
    assert sum(url.endswith(".webp") for url in asked) == 11
    assert [url for url in asked if url.endswith(".png")] == []


def test_titles_stay_above_their_columns_when_pictures_scroll_sideways(open_page: Open) -> None:
    page = open_page(size=(390, 844))
    page.locator("#pictures").evaluate("pictures => { pictures.scrollLeft = 150; }")
    title, figure = (page.locator(f"{place} [data-setting='gf']").first for place in ("#columns", "#pictures"))
    expect(page.locator(".strip")).to_have_attribute("style", "transform: translateX(-150px);")
    boxes = title.bounding_box(), figure.bounding_box()
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["x"] == pytest.approx(boxes[1]["x"], abs=0.5)


# Hostile texts, odd names, narrow windows, colours


def test_hostile_texts_stay_texts(open_page: Open, report: dict[str, Any]) -> None:
    report["title"] = report["prompts"][0] = report["about"]["command"] = HOSTILE
    report["settings"][0] |= {"title": HOSTILE, "changes": {HOSTILE: HOSTILE}, "recipe": "javascript:broken()"}
    page = open_page(report)
    assert page.locator("h1").text_content() == HOSTILE
    assert page.locator(".row h3 span").first.text_content() == HOSTILE
    assert page.locator("tr[data-setting='md'] th a").text_content() == HOSTILE
    assert page.locator("tr[data-setting='md'] th a").get_attribute("href") == "javascript%3Abroken()"
    page.locator("#pictures a").first.click()
    assert page.locator("#viewer-title span").text_content() == HOSTILE
    assert page.evaluate("window.broken") is None
    assert page.evaluate("document.scripts.length") == 3


def test_any_file_name_is_found(open_page: Open, report: dict[str, Any]) -> None:
    name = "50% of #1? a&b \"c\" 'd' %41"
    report["settings"] = report["settings"][:1]
    picture = make_picture("md", 0, 0)
    report["pictures"] = [
        {**picture, "file": f"pictures/{name}/(é).png", "thumbnail": f"thumbnails/{name}/(é).webp"},
    ]
    page = open_page(report)
    page.locator("#pictures a").first.click()
    expect(page.locator(".frame.loaded")).to_have_count(1)
    assert page.locator("#pictures img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 160


def test_one_setting_and_one_picture(open_page: Open, report: dict[str, Any]) -> None:
    report |= {"metrics": [], "costs": [], "settings": report["settings"][:1], "prompts": [""], "seeds": [0]}
    report["pictures"] = report["pictures"][:1]
    page = open_page(report)
    assert order(page) == ["md"]
    expect(page.locator("#plot-section")).to_be_hidden()
    page.locator("#pictures a").click()
    page.keyboard.press("s")
    expect(page.get_by_role("slider")).to_be_visible()


def test_a_comparison_before_its_first_picture(open_page: Open, report: dict[str, Any]) -> None:
    report["pictures"] = []
    for setting in report["settings"]:
        setting |= {"scores": {}, "costs": {}, "differences": {}}
    page = open_page(report)
    assert page.locator("#pictures .missing:visible").count() == 12
    assert set(page.locator("#scores td").all_inner_texts()) == {"\N{EN DASH}"}
    page.get_by_role("button", name="Differences to MultiDiffusion").click()
    assert set(page.locator("#scores td").all_inner_texts()) == {"\N{EN DASH}"}


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(open_page: Open, width: int) -> None:
    page = open_page(size=(width, 844))
    for address in ("", "view=seeds", "open=0.0", "open=0.0&mode=slider"):
        page.evaluate("address => { location.hash = address; }", address)
        if "open" in address:
            page.locator(".frame.loaded").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        for each in page.locator("#viewer button, #viewer select, #viewer .frame").all():
            box = each.bounding_box()
            assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= width), each


def test_texts_stand_out_from_their_ground(open_page: Open) -> None:
    page = open_page()
    grounds = {"--good": "--good-ground", "--bad": "--bad-ground", "--warn": "--warn-ground"}
    pairs = [
        *grounds.items(),
        *((text, ground) for text in ("--text", "--muted", "--bad") for ground in ("--ground", "--panel")),
    ]

    def luminance(place: str, name: str) -> float:
        colour = page.locator(place).evaluate("(box, name) => getComputedStyle(box).getPropertyValue(name)", name)
        parts = [int(colour.strip()[index : index + 2], 16) / 255 for index in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for scheme, place in ("dark", "html"), ("light", "html"), ("light", "#viewer"):
        page.emulate_media(color_scheme=scheme)
        assert (luminance(place, "--ground") < 0.1) == (scheme == "dark" or place == "#viewer")
        for text, ground in pairs if place == "html" else pairs[len(grounds) :]:
            dark, light = sorted((luminance(place, text), luminance(place, ground)))
            # 4.5 to 1 is what WCAG 2.2 asks of texts, success criterion 1.4.3.
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (scheme, place, text, ground)
