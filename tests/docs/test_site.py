"""The site: it builds strictly, every page is in it, pictures lead to recipes, and it asks no other server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from docs_pages import DOCS, PAGES, ROOT, script

import fusionkit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("zensical", reason="the site is built by the extra 'docs', which needs Python 3.11")
pytest.importorskip("mkdocstrings")


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    return script("build_site")


@pytest.fixture(scope="module")
def site(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("site")
    builder.build(folder)
    return folder / "site"


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_every_page_is_built_and_in_the_navigation(site: Path, builder: ModuleType) -> None:
    in_navigation = set(re.findall(r'"([\w./-]+\.md)"', builder.toml(builder.navigation())))
    for page in PAGES:
        place = builder.sources()[page]
        assert (site / place.replace("README", "index")).with_suffix(".html").exists(), place
        assert place in in_navigation, f"no list of docs/index.md has {place}"


def test_every_link_and_picture_inside_leads_somewhere(site: Path) -> None:
    pages = {path: text(path) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 150
    anchors = {path: set(re.findall(r'\bid="?([^"\s>]+)', html)) for path, html in pages.items()}
    for path, html in pages.items():
        for target in re.findall(r'\b(?:href|src)="([^"]*)"', html):
            file, _, anchor = unescape(target).partition("#")
            if "://" in file or file.startswith(("mailto:", "data:")):
                continue
            there = (path.parent / file).resolve() if file else path
            assert there.exists(), f"{path.relative_to(site)}: {target}"
            if anchor and there in anchors and not anchor.startswith("__"):
                assert anchor in anchors[there], f"{path.relative_to(site)}: {target}"


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = re.compile(
        r'<(?:script|img|iframe|source)\b[^>]*\bsrc="?https?:|<link\b[^>]*rel="?(?:stylesheet|preconnect)[^>]*https?:'
    )
    for path in site.rglob("*.html"):
        assert not loaded.search(text(path)), path.relative_to(site)


def test_every_picture_of_the_gallery_leads_to_its_recipe(site: Path) -> None:
    from gallery import pictures

    assert len(pictures()) > 40
    assert pictures()["hero"] == ["panorama"]
    assert pictures()["two-models"] == ["cross-architecture"]
    assert pictures()["two-styles"] == ["two-styles-tinyworld", "two-styles-vista"]
    page = text(site / "gallery.html")
    for name, (recipe, *_) in pictures().items():
        linked = re.search(rf'<a href="([^"]+)">\s*<img[^>]+src="images/{name}\.\w+"', page)
        assert linked is not None, name
        assert linked[1].removeprefix("./") == f"recipes/{recipe}.html"
        command = text(ROOT / "recipes" / f"{recipe}.yaml").splitlines()[0].removeprefix("# Run it:").strip()
        shown = unescape(re.sub(r"<[^>]+>", "", text(site / "recipes" / f"{recipe}.html")))
        assert command in shown


def test_the_reference_has_every_public_name(site: Path) -> None:
    page = text(site / "reference.html")
    for name in set(fusionkit.__all__) - {"Field", "Wrapper", "hookimpl"}:
        assert re.search(rf'id="fusionkit\.[\w.]*\.?{name}"', page), name


@pytest.mark.parametrize("wrong", ["[a](nowhere.md)", "[a](index.md#nowhere)", "::: fusionkit.nowhere"])
def test_a_wrong_page_ends_the_build(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.md").write_text(f"# One\n\n{wrong}\n", encoding="utf-8")
    shutil.copy(DOCS / "zensical.toml", tmp_path)
    shutil.copy(DOCS / "site.css", tmp_path / "pages")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "-f", "zensical.toml"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode != 0


def test_it_can_be_searched_from_a_folder_and_fits_a_phone(site: Path, browser: Browser) -> None:
    from playwright.sync_api import expect

    page = browser.new_page(viewport={"width": 400, "height": 800})
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else wrong.append(asked.url))
    for name in ("gallery", "reference", "recipes/panorama", "index"):
        page.goto((site / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name="Search")
    field.press_sequentially("edges meet")
    expect(page.locator("a[href*='plugins/ring.html?']").first).to_be_visible()
    expect(field).to_have_value("edges meet")
    page.close()
    assert wrong == []
