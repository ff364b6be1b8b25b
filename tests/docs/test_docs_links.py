from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs_pages import DOCS, PAGES, ROOT, prose

from fusionkit import Fusion
from fusionkit.recipe.recipe_file import load_recipes

LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)|(?:src|href)=\"(?P<html>[^\"]+)\"")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|work|tmp|opt|Users|mnt)/")


def anchors(text: str) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page) -> list[str]:
    return [found["target"] or found["html"] for found in LINK.finditer(prose(page))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in links(page):
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.relative_to(ROOT)} links to {link}, which does not exist"
        if anchor:
            assert anchor in anchors(prose(target)), f"{page.relative_to(ROOT)} links to {link}; no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_place_on_somebodys_machine(page):
    assert not MACHINE_PATH.findall(page.read_text(encoding="utf-8"))


def test_every_page_can_be_reached_from_the_readme():
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            todo += [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link]
    assert set(PAGES) <= seen


PICTURE = (".png", ".jpg", ".webp", ".svg")
# What makes a picture that docs/make_pictures.py does not.
OTHERWISE = {
    "hero": None,  # the README's first command
    "front": "python benchmarks/front.py out/front --plot docs/images/front.svg",
    "tinyworld-scenes": "python -m fusionkit_tinyworld.evaluate --sheet docs/images/tinyworld-scenes.jpg",
    "studio": "python docs/make_studio_picture.py FOLDER",
    "upscaling": "python benchmarks/upscaling.py --sheet upscaling",
    "enlarged": "python benchmarks/upscaling.py --world vista --sheet enlarged",
    "dilated-sampling": "python benchmarks/upscaling.py --sheet dilated-sampling",
    "tinyworld-canny": "python -m fusionkit_tinyworld.evaluate_canny --sheet docs/images/tinyworld-canny.jpg",
    **dict.fromkeys(
        ("comparison", "comparison-viewer", "comparison-slider"),
        "python docs/make_page_picture.py out/compare/fusion --open 1.0",
    ),
    **dict.fromkeys(
        [f"evidence-{name}" for name in ("table-1", "table-2-ddim", "table-2-others", "table-2-ddpm", "figure-5")],
        "python benchmarks/evidence.py",
    ),
    **{
        name: f"python benchmarks/magicfusion.py --sheet {name}"
        for name in ("magicfusion", "magicfusion-cartoon", "tinyworld-experts")
    },
}


def test_every_picture_is_shown_on_a_page_and_made_by_a_command(pictures):
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page) if link.endswith(PICTURE)}
    made = {*pictures.PICTURES, *OTHERWISE}
    assert set((DOCS / "images").iterdir()) == shown
    assert sorted(path.stem for path in shown) == sorted(made)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_picture_comes_with_the_command_that_made_it(page):
    for link in links(page):
        name = Path(link).stem
        command = OTHERWISE.get(name, f"python docs/make_pictures.py --only {name}")
        if link.endswith(PICTURE) and command is not None:
            assert f"`{command}`" in page.read_text(encoding="utf-8")


def test_every_row_of_a_picture_is_a_valid_recipe(pictures):
    for rows in pictures.ROWS.values():
        for changes in rows.values():
            (recipe,) = load_recipes(pictures.sheets.RECIPE, changes)
            assert Fusion.from_recipe(recipe).plan().forward_passes > 0


def test_rows_are_shown_below_each_other_with_their_labels(pictures, monkeypatch):
    sheets = pictures.sheets
    monkeypatch.setattr(sheets, "SETS", ["steps=1", "size=128x128"])
    assert pictures.rows("jitter").size == (128, 2 * (128 + sheets.LABEL) + sheets.GAP)
    assert sheets.enlarged(pictures.rows("jitter")).size == (256, 4 * (128 + sheets.LABEL) + 2 * sheets.GAP)
