"""The page's file and the thumbnails: what is in them, and that they are written whole or not at all."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from page_example import HOSTILE, Write, draw
from PIL import Image

from fusionkit.comparison.page import make_thumbnails, write_page
from fusionkit.comparison.page.write import SCRIPTS, STYLES
from fusionkit.errors import FusionError

PACKAGE = Path(write_page.__code__.co_filename).parent


class Parts(HTMLParser):
    """The tags of a page, and the text of each script and other element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append((self.tags[-1][0] if self.tags else "", data))


def data_of(page: Path) -> dict[str, Any]:
    """The report that a page carries."""
    parts = Parts(page.read_text(encoding="utf-8"))
    (text,) = [text for tag, text in parts.texts if tag == "script" and text.startswith('{"about"')]
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def shown_text(page: Path) -> str:
    """What the page's HTML says outside of scripts and styles, in one line."""
    parts = Parts(page.read_text(encoding="utf-8"))
    return " ".join("".join(text for tag, text in parts.texts if tag not in ("script", "style")).split())


def test_the_page_carries_the_whole_report(write: Write, report: dict[str, Any], tmp_path: Path) -> None:
    page = write(report)
    assert page == tmp_path / "index.html"
    assert data_of(page) == report


def test_the_page_is_one_file_that_asks_for_nothing(write: Write, report: dict[str, Any]) -> None:
    text = write(report).read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\"'\s)]*", text) == ["http://www.w3.org/2000/svg"]
    assert [tag for tag, given in Parts(text).tags if "src" in given] == []
    assert [given["href"] for tag, given in Parts(text).tags if "href" in given] == ["data:,"]


def test_no_script_or_style_can_end_before_its_end() -> None:
    assert {path.name for path in PACKAGE.glob("*.js")} == set(SCRIPTS)
    assert {path.name for path in PACKAGE.glob("*.css")} == set(STYLES)
    for path in (PACKAGE / name for name in (*SCRIPTS, *STYLES)):
        assert not re.search(r"</|<!--", path.read_text(encoding="utf-8")), path.name


def test_hostile_texts_stay_texts(write: Write, report: dict[str, Any]) -> None:
    report["title"] = report["about"]["command"] = report["about"]["machine"] = report["prompts"][0] = HOSTILE
    report["settings"][0]["title"] = HOSTILE
    report["settings"][0]["changes"] = {HOSTILE: HOSTILE}
    page = write(report)
    assert data_of(page) == report
    parts = Parts(page.read_text(encoding="utf-8"))
    assert [tag for tag, _ in parts.tags if tag in ("script", "img")] == ["script"] * 3
    assert shown_text(page).count(" ".join(HOSTILE.split())) == 5


def test_the_head_counts(write: Write, report: dict[str, Any]) -> None:
    text = shown_text(write(report))
    assert "3 settings · 2 prompts · 2 seeds · 11 of 12 pictures Unfinished: 1 picture is missing" in text
    assert (
        "How it was made fusionkit compare md gf vcf --seeds 0,5 "
        "What differs: plugins.guided-fusion, plugins.variance-corrected-fusion, scheduler"
    ) in text


@pytest.mark.parametrize(
    ("notes", "summary"),
    [(["no reference <yet>"], "1 note"), (["no reference <yet>", "one more"], "2 notes")],
    ids=["one", "two"],
)
def test_notes_and_command_are_folded(write: Write, report: dict[str, Any], notes: list[str], summary: str) -> None:
    report["about"]["notes"] = notes
    page = write(report)
    text = shown_text(page)
    assert f"How it was made, and {summary} on the figures fusionkit compare md" in text
    assert f"scheduler {' '.join(notes)} This page draws" in text
    tags = Parts(page.read_text(encoding="utf-8")).tags
    assert [given.get("open", "shut") for tag, given in tags if tag == "details"] == ["shut"]


def test_a_finished_comparison_says_nothing_of_missing_pictures(write: Write, report: dict[str, Any]) -> None:
    report["prompts"], report["seeds"] = report["prompts"][:1], [0]
    report["pictures"] = [each for each in report["pictures"] if (each["prompt"], each["seed"]) == (0, 0)]
    text = shown_text(write(report))
    assert "3 settings · 1 prompt · 1 seed · 3 of 3 pictures How it was made" in text


def test_numbers_that_json_does_not_know_are_none(write: Write, report: dict[str, Any]) -> None:
    report["pictures"][0]["scores"] = {"seam": float("nan"), "variance": float("-inf"), "fid": 2.5}
    assert data_of(write(report))["pictures"][0]["scores"] == {"seam": None, "variance": None, "fid": 2.5}


def test_pictures_and_thumbnails_that_are_not_there_are_not_referred_to(report: dict[str, Any], tmp_path: Path) -> None:
    draw(tmp_path, report)
    make_thumbnails(tmp_path, report)
    gone, bare = report["pictures"][:2]
    (tmp_path / gone["file"]).unlink()
    (tmp_path / bare["thumbnail"]).unlink()
    found = data_of(write_page(tmp_path, report))["pictures"]
    assert found == [{**bare, "thumbnail": bare["file"]}, *report["pictures"][2:]]


def test_the_page_is_replaced_whole(write: Write, report: dict[str, Any], tmp_path: Path) -> None:
    page = write(report)
    before = page.read_bytes()
    del report["title"]
    with pytest.raises(KeyError, match="title"):
        write_page(tmp_path, report)
    assert page.read_bytes() == before
    report["title"] = "Another"
    write_page(tmp_path, report)
    assert data_of(page)["title"] == "Another"
    assert sorted(os.listdir(tmp_path)) == ["index.html", "pictures", "thumbnails"]
    umask = os.umask(0)
    os.umask(umask)
    assert page.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_page_that_cannot_be_written_leaves_nothing(report: dict[str, Any], tmp_path: Path) -> None:
    report["pictures"] = []
    (tmp_path / "index.html").mkdir()
    with pytest.raises(FusionError, match=r"index\.html' can't be written: "):
        write_page(tmp_path, report)
    assert os.listdir(tmp_path) == ["index.html"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FusionError, match=r"can't be written: "):
        write_page(tmp_path / "file", report)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("size", "expected"),
    [((4000, 1000), (480, 120)), ((900, 900), (320, 320)), ((160, 40), (160, 40)), ((4000, 2), (480, 1))],
    ids=["panorama", "square", "small", "line"],
)
def test_thumbnails_are_small(
    report: dict[str, Any], tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    report["pictures"] = [{**report["pictures"][0], "width": size[0], "height": size[1]}]
    draw(tmp_path, report)
    (path,) = make_thumbnails(tmp_path, report)
    assert path == tmp_path / "thumbnails/md/p00-s0.webp"
    with Image.open(path) as image:
        assert (image.format, image.size) == ("WEBP", expected)
        pixel = image.convert("RGB").getpixel((expected[0] // 2, 0))
    assert isinstance(pixel, tuple)
    assert max(abs(one - other) for one, other in zip(pixel, (0xB0, 0x30, 0x30), strict=True)) <= 8


def test_thumbnails_are_made_once_and_again_for_a_newer_picture(report: dict[str, Any], tmp_path: Path) -> None:
    draw(tmp_path, report)
    assert len(make_thumbnails(tmp_path, report)) == 11
    assert make_thumbnails(tmp_path, report) == []
    newer = tmp_path / report["pictures"][3]["file"]
    os.utime(newer, (newer.stat().st_atime, newer.stat().st_mtime + 10))
    assert make_thumbnails(tmp_path, report) == [tmp_path / report["pictures"][3]["thumbnail"]]


def test_thumbnails_of_an_unfinished_comparison(report: dict[str, Any], tmp_path: Path) -> None:
    draw(tmp_path, report)
    (tmp_path / report["pictures"][0]["file"]).unlink()
    del report["pictures"][1]["thumbnail"]
    assert len(make_thumbnails(tmp_path, report)) == 9


def test_unreadable_pictures_are_all_named_and_the_others_made(report: dict[str, Any], tmp_path: Path) -> None:
    draw(tmp_path, report)
    first, second = (tmp_path / report["pictures"][index]["file"] for index in (0, 5))
    first.write_bytes(b"no picture")
    second.write_bytes(second.read_bytes()[:60])
    with pytest.raises(FusionError) as caught:
        make_thumbnails(tmp_path, report)
    lines = str(caught.value).splitlines()
    assert [line.partition(": can't be read as a picture: ")[0] for line in lines] == [str(first), str(second)]
    assert len(list((tmp_path / "thumbnails").rglob("*.webp"))) == 9
