"""The page in a real browser: table, plot, filters and pictures."""

from __future__ import annotations

import re
from typing import Any

import pytest
from page_example import HOSTILE, Open, make_picture, score
from playwright.sync_api import Locator, Page, expect


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


def shown_rows(page: Page) -> list[str | None]:
    return [each.get_attribute("data-row") for each in page.locator(".row").all() if each.is_visible()]


def heading(page: Page, name: str) -> Locator:
    return page.locator("#scores thead").get_by_role("button", name=name)


# The table


def test_the_table_has_values_with_intervals(open_page: Open) -> None:
    page = open_page()
    expect(page.locator("#scores thead th")).to_have_text(
        ["Setting", "FID↓", "Seam→1", "CLIP score↑", "Contrast (dB)", "seconds a picture↓", "forward passes↓"],
        use_inner_text=True,
    )
    assert cell(page, "md", 0).locator(".value").inner_text() == "5.00"
    assert cell(page, "md", 0).locator("small").inner_text() == "4.60 to 5.40"
    assert cell(page, "gf", 1).locator(".value").inner_text() == "0.960"
    assert cell(page, "vcf", 2).inner_text() == "\N{EN DASH}"
    assert cell(page, "md", 5).inner_text() == "40\nbest"
    assert cell(page, "gf", 0).get_attribute("title") == (
        "FID: 3.00 (2.60 to 3.40)\nof 4 pictures\nbest\n"
        "to MultiDiffusion: \N{MINUS SIGN}2.00 (\N{MINUS SIGN}2.50 to \N{MINUS SIGN}1.50)"
    )
    link = page.get_by_role("link", name="Guided Fusion").first
    assert link.get_attribute("href") == "recipes/gf.yaml"
    assert page.locator("tr[data-setting='vcf'] .changes").inner_text() == (
        "variance-corrected-fusion: true, scheduler: ddpm"
    )


def test_the_best_and_what_is_not_separable_are_marked(open_page: Open) -> None:
    page = open_page()
    # Seam: 1.02 is nearer to 1 than 0.96, whose distances of 0.01 to 0.07 overlap its 0 to 0.05. Contrast has no best.
    assert marked(page, "best") == ["md 2", "md 4", "md 5", "gf 0", "vcf 1"]
    assert marked(page, "near") == ["gf 1", "vcf 0"]


def test_the_best_is_of_the_settings_that_are_shown(open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Show Guided Fusion").uncheck()
    assert marked(page, "best") == ["md 4", "md 5", "vcf 0", "vcf 1"], "nothing else has a CLIP score now"
    assert page.locator("#scores tr[data-setting='gf']").get_attribute("class") == "off"


def test_headings_sort_the_best_first_then_last_then_not(open_page: Open) -> None:
    page = open_page()
    fid, th = heading(page, "FID"), page.locator("th[data-column='fid']")
    assert (order(page), th.get_attribute("aria-sort")) == (["md", "gf", "vcf"], "none")
    fid.click()
    assert (order(page), th.get_attribute("aria-sort")) == (["gf", "vcf", "md"], "ascending")
    fid.click()
    assert (order(page), th.get_attribute("aria-sort")) == (["md", "vcf", "gf"], "descending")
    fid.click()
    assert (order(page), th.get_attribute("aria-sort")) == (["md", "gf", "vcf"], "none")
    heading(page, "Seam").press("Enter")
    assert order(page) == ["vcf", "gf", "md"]


def test_a_setting_without_a_score_is_last_however_it_is_sorted(open_page: Open) -> None:
    page = open_page()
    heading(page, "CLIP score").click()
    assert order(page) == ["md", "gf", "vcf"]
    heading(page, "CLIP score").click()
    assert order(page) == ["gf", "md", "vcf"]


def test_differences_to_the_first_setting(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Differences to MultiDiffusion").click()
    assert cell(page, "md", 0).inner_text() == "5.00"
    assert cell(page, "gf", 0).locator(".value").inner_text() == "\N{MINUS SIGN}2.00"
    assert cell(page, "gf", 0).locator("small").inner_text() == "\N{MINUS SIGN}2.50 to \N{MINUS SIGN}1.50"
    assert cell(page, "gf", 4).inner_text() == "\N{MULTIPLICATION SIGN}2.00"
    assert cell(page, "vcf", 2).inner_text() == "\N{EN DASH}"
    # VCF's difference in FID may be chance, and contrast is neither better nor worse.
    assert marked(page, "better") == ["gf 0", "gf 1", "vcf 1"]
    assert marked(page, "worse") == ["gf 2"]
    assert marked(page, "different") == ["gf 3"]
    page.reload()
    assert cell(page, "gf", 0).locator(".value").inner_text() == "\N{MINUS SIGN}2.00"


def test_a_difference_from_one_side_of_1_to_the_other_is_neither_better_nor_worse(
    open_page: Open, report: dict[str, Any]
) -> None:
    report["settings"][0]["scores"]["seam"] = score(0.9, 0.88, 0.92)
    for setting, value, difference in zip(report["settings"][1:], (1.09, 1.01), (0.19, 0.11), strict=True):
        setting["scores"]["seam"] = score(value, value - 0.02, value + 0.02)
        setting["differences"] = {"seam": score(difference, difference - 0.04, difference + 0.04)}
    page = open_page(report, "#table=differences")
    # 1.09 is nearer to 1 than 0.9 by 0.01, which is less than the difference's own uncertainty of 0.04.
    assert (marked(page, "different"), marked(page, "better")) == (["gf 1"], ["vcf 1"])


def test_tiny_scores_are_told_in_millionths(open_page: Open, report: dict[str, Any]) -> None:
    for setting, value in zip(report["settings"], (4.5e-6, 1.25e-4, 3e-6), strict=True):
        setting["scores"]["contrast"] = score(value, value - 1e-6, value + 1e-6)
    report["settings"][1]["differences"]["contrast"] = score(1.2e-4, 1.1e-4, 1.3e-4)
    report["pictures"][0]["scores"] = {"contrast": 4.25e-6}
    page = open_page(report, "#metric=contrast")
    assert page.locator("th[data-column='contrast']").inner_text() == "Contrast (10⁻⁶ dB)"
    assert [cell(page, name, 3).inner_text() for name in ("md", "gf", "vcf")] == [
        "4.5\n3.5 to 5.5",
        "125.0\n124.0 to 126.0",
        "3.0\n2.0 to 4.0",
    ]
    assert page.locator("#pictures figcaption span").first.text_content() == "Contrast 4.25 10⁻⁶ dB"
    assert points(page)["gf"][1] == pytest.approx(position(page, "y", 125), abs=0.01)
    page.get_by_role("button", name="Differences").click()
    assert cell(page, "gf", 3).locator(".value").inner_text() == "+120"


# The plot


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


def test_points_and_their_intervals_are_where_the_axes_say(open_page: Open) -> None:
    page = open_page()
    found = points(page)
    assert list(found) == ["md", "gf", "vcf"]
    for name, seconds, fid in (("md", 1.0, 5.0), ("gf", 2.0, 3.0), ("vcf", 20.0, 3.3)):
        # From 0.9 to 22 seconds is a wide span, so that the axis is logarithmic.
        assert found[name] == pytest.approx(
            (position(page, "x", seconds, logarithmic=True), position(page, "y", fid)), abs=0.01
        )
    assert found["gf"][1] > found["vcf"][1] > found["md"][1]
    upright, level = (
        [float(each) for each in re.findall(r"[\d.]+", path.get_attribute("d") or "")]
        for path in page.locator("#plot .point[data-setting='gf'] .interval").all()
    )
    assert upright == pytest.approx([found["gf"][0], position(page, "y", 3.4), position(page, "y", 2.6)], abs=0.01)
    ends = [position(page, "x", each, logarithmic=True) for each in (1.8, 2.2)]
    assert level == pytest.approx([ends[0], found["gf"][1], ends[1]], abs=0.01)
    expect(page.locator("#plot .label")).to_have_text(["MultiDiffusion", "Guided Fusion", "Variance correction"])


def test_the_front_leaves_out_what_is_worse_and_dearer(open_page: Open) -> None:
    page = open_page()
    found = points(page)
    front = [float(each) for each in re.split(r"[ ,]", page.locator(".front").get_attribute("points") or "")]
    assert front == pytest.approx([*found["md"], *found["gf"]])


def test_score_and_cost_of_the_plot_can_be_chosen(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("combobox", name="Score", exact=True).select_option("CLIP score")
    page.get_by_role("combobox", name="Cost", exact=True).select_option("forward passes")
    found = points(page)
    assert list(found) == ["md", "gf"], "VCF has no CLIP score"
    for name, passes, clip in (("md", 40, 30), ("gf", 80, 27)):
        assert found[name] == pytest.approx((position(page, "x", passes), position(page, "y", clip)), abs=0.01)
    expect(page.locator("#plot .axis")).to_have_text(["forward passes ↓", "CLIP score ↑"])
    page.reload()
    assert points(page) == found


def test_the_plot_opens_on_a_score_that_differs(open_page: Open, report: dict[str, Any]) -> None:
    first, second = (each["name"] for each in report["metrics"][:2])
    for setting in report["settings"]:
        setting["scores"][first] = score(1)
    expect(open_page(report).get_by_role("combobox", name="Score", exact=True)).to_have_value(second)


def test_points_are_told_to_pointers_and_keys(open_page: Open) -> None:
    page = open_page()
    point = page.get_by_role(
        "img", name="Guided Fusion, FID: 3.00 (2.60 to 3.40), seconds a picture: 2.00 (1.80 to 2.20) s"
    )
    tip = page.get_by_role("tooltip")
    expect(tip).to_be_hidden()
    point.focus()
    expect(tip).to_have_text("Guided FusionFID: 3.00 (2.60 to 3.40)seconds a picture: 2.00 (1.80 to 2.20) s")
    point.blur()
    expect(tip).to_be_hidden()
    point.locator(".dot").hover()
    expect(tip).to_be_visible()


def test_a_plot_of_nothing_says_so(open_page: Open) -> None:
    page = open_page(address="#settings=vcf&metric=clip-score")
    expect(page.locator("#plot")).to_have_text("No setting that is shown has both this score and this cost.")


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
    page.get_by_role("heading", name="Pictures").click()
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
    assert page.locator("[data-row='0.0'] figcaption").first.inner_text().split() == ["Seam", "1.25", "2.10", "s"]
    gap = page.locator("[data-row='1.5'] figure").last
    assert gap.inner_text() == "not drawn"
    assert gap.bounding_box() is not None


def test_the_grid_asks_for_no_full_size_picture(open_page: Open, asked: list[str]) -> None:
    page = open_page()
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
    assert page.evaluate("document.scripts.length") == 2


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
@pytest.mark.parametrize("address", ["", "#open=0.0", "#open=0.0&mode=slider"], ids=["page", "viewer", "slider"])
def test_nothing_is_wider_than_the_window(open_page: Open, width: int, address: str) -> None:
    page = open_page(address=address, size=(width, 844))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if address:
        page.locator(".frame.loaded").first.wait_for()
        for each in page.locator("#viewer button, #viewer select, #viewer .frame").all():
            box = each.bounding_box()
            assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= width), each


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_their_ground(open_page: Open, scheme: str) -> None:
    page = open_page(scheme=scheme)

    def luminance(name: str) -> float:
        colour = page.evaluate(
            "name => getComputedStyle(document.documentElement).getPropertyValue(name)", name
        ).strip()
        parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert (luminance("--ground") < 0.1) == (scheme == "dark")
    grounds = {"--good": "--good-ground", "--bad": "--bad-ground", "--warn": "--warn-ground"}
    pairs = [
        *grounds.items(),
        *((text, ground) for text in ("--text", "--muted") for ground in ("--ground", "--panel")),
    ]
    for text, ground in pairs:
        dark, light = sorted((luminance(text), luminance(ground)))
        # 4.5 to 1 is what WCAG 2.2 asks of texts, success criterion 1.4.3.
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
