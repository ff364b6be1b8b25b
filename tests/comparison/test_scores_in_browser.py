"""The table of scores and the plot in a real browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from page_example import Open, score
from playwright.sync_api import expect
from scores_looks import cell, heading, marked, order, points, position

# The table


def test_the_table_has_values_with_intervals(open_page: Open) -> None:
    page = open_page(address="#metric=fid")
    expect(page.locator("#scores thead th")).to_have_text(
        ["Setting", "FID↓", "Seam→1", "CLIP score↑", "Contrast (dB)", "seconds a picture↓", "forward passes↓"],
        use_inner_text=True,
    )
    assert cell(page, "md", 0).locator(".value").inner_text() == "5.00"
    assert cell(page, "md", 0).locator("small").inner_text() == "±0.40"
    assert cell(page, "gf", 1).locator(".value").inner_text() == "0.960"
    assert cell(page, "vcf", 2).inner_text() == "\N{EN DASH}"
    assert cell(page, "md", 4).inner_text() == "1.00\nbest\n0.90\N{EN DASH}1.10", "a cost has a spread, no interval"
    assert cell(page, "md", 5).inner_text() == "40\nbest"
    assert cell(page, "gf", 0).get_attribute("title") == (
        "FID: 3.00 (2.60 to 3.40)\nof 4 pictures\nbest\n"
        "to MultiDiffusion: \N{MINUS SIGN}2.00 (\N{MINUS SIGN}2.50 to \N{MINUS SIGN}1.50)"
    )
    link = page.locator("#scores").get_by_role("link", name="Guided Fusion")
    assert link.get_attribute("href") == "recipes/gf.yaml"
    assert page.locator("tr[data-setting='vcf'] .changes").inner_text() == (
        "variance-corrected-fusion: true, scheduler: ddpm"
    )


def test_the_best_and_what_is_not_separable_are_marked(open_page: Open) -> None:
    page = open_page(address="#metric=fid")
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
    assert cell(page, "gf", 0).locator("small").inner_text() == "±0.50"
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
        "4.5\n±1.0",
        "125.0\n±1.0",
        "3.0\n±1.0",
    ]
    assert page.locator("#pictures .told span").first.text_content() == "Contrast 4.25 10⁻⁶ dB"
    assert points(page)["gf"][1] == pytest.approx(position(page, "y", 125), abs=0.01)
    page.get_by_role("button", name="Differences").click()
    assert cell(page, "gf", 3).locator(".value").inner_text() == "+120"


# The plot


def test_points_and_their_intervals_are_where_the_axes_say(open_page: Open) -> None:
    page = open_page(address="#metric=fid")
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
    page = open_page(address="#metric=fid")
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


def test_the_plot_opens_on_what_differs_most(open_page: Open, report: dict[str, Any]) -> None:
    def opens_on(told: dict[str, Any] | None) -> str:
        return open_page(told).get_by_role("combobox", name="Score", exact=True).input_value()

    # Seam differs by 0.34, 5.7 half intervals; FID by 4 of them, contrast by 2.
    assert opens_on(None) == "seam"
    for setting, clip in zip(report["settings"], (30, 20, 25), strict=True):
        # What has no interval may differ by chance, however much, and more contrast is neither better nor worse.
        setting["scores"] |= {"clip-score": score(clip, clip - 2, clip + 2), "fid": score(10 * clip)}
        setting["scores"] |= {"contrast": score(clip, clip - 1, clip + 1), "seam": score(1, 1, 1)}
        setting["differences"] = {}
    assert opens_on(report) == "clip-score"


def test_where_all_settings_are_alike_none_is_best(open_page: Open, report: dict[str, Any]) -> None:
    for setting in report["settings"]:
        setting["scores"]["fid"] = score(1, 0.9, 1.1)
    page = open_page(report)
    assert [each for kind in ("best", "near") for each in marked(page, kind) if each.endswith(" 0")] == []


def test_many_columns_and_long_names_fit_the_window(open_page: Open, report: dict[str, Any]) -> None:
    report["metrics"] += [
        {"name": name, "title": f"{name} of the pictures", "better": "lower", "unit": ""} for name in "abcd"
    ]
    report["costs"].append({"name": "peak-memory", "title": "peak memory", "unit": "MB"})
    for setting in report["settings"]:
        setting["title"] = "Guided and variance-corrected fusion with a stride of 64 pixels, 100 % of the noise"
        setting["scores"] |= {name: score(1234.5, 1233.5, 1235.5) for name in "abcd"}
        setting["costs"]["peak-memory"] = score(1190.4, 1078.1, 1190.4)
    page = open_page(report)
    for place in ("html", "#scores", "#pictures"):
        assert page.locator(place).evaluate("box => box.scrollWidth <= box.clientWidth"), place
    page.set_viewport_size({"width": 400, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    names, first = page.locator("#scores tbody th").first.bounding_box(), cell(page, "md", 0).bounding_box()
    assert names is not None
    assert first is not None
    assert names["x"] + names["width"] <= first["x"] + 1
    assert first["x"] + first["width"] <= 400, "beside the name, a score is seen"


def test_points_are_told_to_pointers_and_keys(open_page: Open) -> None:
    page = open_page(address="#metric=fid")
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
