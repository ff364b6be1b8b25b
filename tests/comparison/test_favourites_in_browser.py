"""Favourites, seeds at a glance, and what can be copied, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urldefrag

import pytest
from page_example import Open
from playwright.sync_api import Page, expect
from viewer_looks import loaded

from fusionkit.comparison.tables import FORMATS, table_of


def copied(page: Page, name: str) -> str:
    """What a button copies; it is kept in the page, since the clipboard is the user's."""
    page.evaluate("() => { navigator.clipboard.writeText = async text => { window.copied = text; }; }")
    # By its element: for a moment its name is what came of it.
    button = page.get_by_role("button", name=name).element_handle()
    assert button is not None
    button.click()
    page.wait_for_function("button => button.textContent === 'Copied'", arg=button)
    text: str = page.evaluate("window.copied")
    return text


def liked(page: Page) -> list[str]:
    """The favourites in the page's address."""
    return parse_qs(urldefrag(page.url).fragment).get("favourite", [])


def heart(page: Page, key: str, place: str = "#pictures") -> Any:
    return page.locator(f"{place} .heart[data-key='{key}']")


def test_favourites_are_kept_and_are_in_the_address(open_page: Open, report: dict[str, Any]) -> None:
    page = open_page(report)
    plain = urldefrag(page.url).url
    first = page.get_by_role("button", name="Favourite: Guided Fusion: a beach at noon, seed 5", exact=True)
    expect(first).to_have_attribute("aria-pressed", "false")
    first.press("Enter")
    heart(page, "1.0.md").click()
    expect(first).to_have_attribute("aria-pressed", "true")
    assert liked(page) == ["0.5.gf", "1.0.md"]
    expect(page.locator(".favourites .count")).to_have_text("2")

    # Without an address they come from the browser; what a link says counts in their place, and changes none of them.
    page.goto("about:blank")
    page.goto(plain)
    assert [heart(page, key).get_attribute("aria-pressed") for key in ("0.5.gf", "1.0.md")] == ["true", "true"]
    page.evaluate("location.hash = 'favourite=0.0.vcf&favourite=9.9.no'")
    expect(page.locator(".favourites .count")).to_have_text("1")
    heart(page, "0.0.vcf").click()
    heart(page, "0.0.md").click()
    assert liked(page) == ["0.0.md"]
    page.goto("about:blank")
    page.goto(plain)
    expect(page.locator(".heart[aria-pressed='true']")).to_have_count(3)
    # None of them, told by an address, is not the same as an address that tells nothing.
    for key in ("0.0.md", "0.5.gf"):
        heart(page, key).click()
    page.evaluate("location.hash = 'favourite='")
    expect(page.locator(".heart[aria-pressed='true']")).to_have_count(0)


def test_favourites_alone_are_shown_listed_and_copied(open_page: Open, report: dict[str, Any], tmp_path: Path) -> None:
    page = open_page(report, "#favourite=0.5.gf&favourite=1.0.md&favourite=1.0.vcf")
    menu = page.locator(".favourites")
    menu.locator("summary").press("Enter")
    page.get_by_role("checkbox", name="Show favourites only").check()
    assert [row.get_attribute("data-row") for row in page.locator(".row:visible").all()] == ["0.5", "1.0"]
    assert page.locator("#pictures figure:visible").evaluate_all("all => all.map(each => each.dataset.key)") == [
        "0.5.gf",
        "1.0.md",
        "1.0.vcf",
    ]
    page.get_by_label("Show Guided Fusion").uncheck()
    assert page.locator("#columns [data-setting]:visible").all_inner_texts() == [
        "MultiDiffusion",
        "Variance correction",
    ]
    expect(page.get_by_role("status").last).to_have_text("1 of 4 rows")
    page.get_by_label("Show Guided Fusion").check()

    menu.locator("summary").click()
    expect(menu.locator("li")).to_have_text(
        [
            "MultiDiffusion: a city at night, seed 0",
            "Guided Fusion: a beach at noon, seed 5",
            "Variance correction: a city at night, seed 0",
        ]
    )
    names = ("md/p01-s0.png", "gf/p00-s5.png", "vcf/p01-s0.png")
    assert copied(page, "Copy paths").splitlines() == [str(tmp_path / "pictures" / name) for name in names]
    assert copied(page, "Copy commands").splitlines() == [
        f"fusionkit run {tmp_path}/pictures/md/p01-s0.png --set 'plugins.p={{times: 2}}' -o md-p01-s0-2x.png",
        f"fusionkit upscale {tmp_path}/pictures/gf/p00-s5.png --prompt 'a beach at noon' -o gf-p00-s5-2x.png",
    ], "the third setting's pictures have no command"
    menu.get_by_role("button", name="Guided Fusion: a beach at noon").click()
    loaded(page, 3)
    expect(heart(page, "0.5.gf", ".stage")).to_have_attribute("aria-pressed", "true")
    heart(page, "0.5.gf", ".stage").click()
    assert liked(page) == ["1.0.md", "1.0.vcf"]


def test_a_picture_tells_the_command_that_draws_it_larger(
    open_page: Open, report: dict[str, Any], tmp_path: Path
) -> None:
    report["prompts"][0] = 'it\'s 50 % "done"; $HOME'
    page = open_page(report)
    dialog = page.locator("#larger")
    button = page.get_by_role("button", name="Draw it larger: Guided Fusion: it's").first
    button.press("Enter")
    expect(dialog).to_contain_text("the picture, enlarged as a photo is to 320 \N{MULTIPLICATION SIGN} 80 pixels")
    assert copied(page, "Copy the command") == (
        f"fusionkit upscale {tmp_path}/pictures/gf/p00-s0.png --prompt "
        "'it'\\''s 50 % \"done\"; $HOME' -o gf-p00-s0-2x.png"
    )
    assert copied(page, "Copy the path") == f"{tmp_path}/pictures/gf/p00-s0.png"
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()
    page.locator("[data-row='1.0'] [data-setting='vcf'] .act").last.click()
    expect(dialog).to_contain_text("No command is known that enlarges what this setting draws.")
    page.keyboard.press("Escape")

    page.locator("[data-row='0.0'] a").first.click()
    loaded(page, 3)
    page.locator(".stage .act").nth(1).click()
    page.keyboard.press("n")
    expect(dialog).to_contain_text(
        "the same picture, drawn again and enlarged to 320 \N{MULTIPLICATION SIGN} 80 pixels"
    )
    page.keyboard.press("Escape")
    expect(page.locator("#viewer-title")).to_contain_text("seed 0", timeout=1000)
    expect(page.locator("#viewer")).to_be_visible()


def test_seeds_of_a_prompt_are_seen_at_a_glance(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Seeds at a glance").click()
    table = page.get_by_role("table", name="a beach at noon")
    expect(table.get_by_role("columnheader")).to_have_text(["MultiDiffusion", "Guided Fusion", "Variance correction"])
    expect(table.get_by_role("rowheader")).to_have_text(["seed 0", "seed 5"])
    expect(page.locator("#pictures")).to_be_hidden()
    boxes = [each.bounding_box() for each in page.locator(".glance img").all()]
    assert len(boxes) == 6
    assert len({round(box["width"]) for box in boxes if box}) == 1, "all as wide"
    assert all(box and box["y"] + box["height"] <= 800 for box in boxes), "all at once"
    page.set_viewport_size({"width": 1280, "height": 430})
    page.wait_for_function(
        "() => [...document.querySelectorAll('.glance img')].at(-1).getBoundingClientRect().bottom < 430"
    )
    page.get_by_role("button", name="Next prompt").click()
    table = page.get_by_role("table", name="a city at night")
    expect(table.locator(".missing")).to_have_text("not drawn")
    assert urldefrag(page.url).fragment == "view=seeds&prompt=1"
    page.get_by_role("button", name="Next prompt").click()
    page.get_by_label("Show Guided Fusion").uncheck()
    expect(table.get_by_role("columnheader")).to_have_text(["MultiDiffusion", "Variance correction"])
    page.evaluate("location.hash = 'view=seeds&prompt=1&prompts=0&seeds=5'")
    expect(page.get_by_role("table", name="a beach at noon").get_by_role("rowheader")).to_have_text(["seed 5"])
    page.locator(".glance a").last.press("Enter")
    loaded(page, 3)
    expect(page.locator("#viewer-title")).to_have_text("a beach at noon seed 5")


@pytest.mark.parametrize(("language", "file"), [("LaTeX", "scores.tex"), ("Markdown", "scores.md")])
def test_the_table_is_copied_as_it_is_shown(open_page: Open, report: dict[str, Any], language: str, file: str) -> None:
    page = open_page(address="#sort=fid")
    name = f"Copy as {language}"
    whole = table_of({**report, "settings": [report["settings"][index] for index in (1, 2, 0)]}, FORMATS[file])
    assert copied(page, name) == whole.whole(), "in the order that is shown"
    page.get_by_label("Show Guided Fusion").uncheck()
    lines = copied(page, name).splitlines()
    assert len(lines) == len(whole.whole().splitlines()) - 1
    (best,) = (line for line in lines if "Variance correction" in line and "3.3" in line)
    assert ("mathbf{3.30}" if language == "LaTeX" else "**3.30**") in best, "the best of those that are shown"
    # A browser that gives pages from disk no clipboard is asked in the older way.
    page.evaluate(
        """() => {
            navigator.clipboard.writeText = async () => { throw new Error("no clipboard"); };
            document.execCommand = () => { window.copied = document.activeElement.value; return true; };
        }"""
    )
    page.get_by_role("button", name="Copied").click()
    page.wait_for_function("lines => window.copied.split('\\n').length === lines + 1", arg=len(lines))


def test_buttons_lead_to_the_parts_below_the_pictures(open_page: Open) -> None:
    page = open_page(address="#metric=fid")
    assert page.locator("main h2").all_inner_texts() == ["Pictures", "Scores", "Score against cost"]
    first = page.locator("#pictures img").first.bounding_box()
    assert first is not None
    assert first["y"] + first["height"] < 400, "pictures are what one sees first"
    page.get_by_role("button", name="Plot").press("Enter")
    expect(page.locator("#plot-title")).to_be_focused()
    expect(page.locator("#plot-title")).to_be_in_viewport()
    page.evaluate("scrollTo(0, 0)")
