"""What a picture says of how it was made, whoever wrote it, and at any size."""

from __future__ import annotations

import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from test_opening import chunk, png

from fusionkit.errors import RecipeError
from fusionkit.pictures.image import read_metadata, save_image


def said(path: Path, text: str) -> Path:
    info = PngInfo()
    info.add_itxt("fusionkit", text)
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        '{"recipe": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"recipe": ' + "9" * 10_000 + "}",
        '{"recipe": ["a", "b"]}',
        '{"recipe": null}',
        "null",
        "1",
    ],
    ids=["nothing", "open", "deep", "huge number", "list", "null", "only null", "only a number"],
)
def test_what_is_no_recipe_is_one_line(text: str, tmp_path: Path) -> None:
    path = said(tmp_path / "a.png", text)
    with pytest.raises(RecipeError) as error:
        read_metadata(path)
    assert error.value.problems == [f"{path}: carries no recipe; only pictures that fusionkit wrote do"]


@pytest.mark.parametrize(
    ("kind", "count", "value"),
    [
        (3, 1, b"\x05\0\0\0"),
        (4, 1, b"\x05\0\0\0"),
        (1, 4, b"\1\2\3\4"),
        (7, 4, b"\1\2\3\4"),
        (5, 1, b"\x1a\0\0\0" + bytes(12)),
    ],
    ids=["short", "long", "bytes", "undefined", "rational"],
)
def test_exif_that_is_no_text(kind: int, count: int, value: bytes, tmp_path: Path) -> None:
    entry = struct.pack("<HHHI", 1, 0x010E, kind, count)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0" + entry + value + bytes(8))
    with pytest.raises(RecipeError, match="carries no recipe"):
        read_metadata(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", ["versions", "files"])
@pytest.mark.parametrize("value", [None, [], 5, "x", {"torch": None, "a": "b"}])
def test_what_stands_beside_the_recipe_has_its_types(name: str, value: Any, tmp_path: Path) -> None:
    path = said(tmp_path / "a.png", json.dumps({"recipe": "model: x", "latents": 5, name: value}))
    told = read_metadata(path)
    assert told[name] == ({"a": "b"} if isinstance(value, dict) else {})
    assert told["latents"] == "5"


def test_it_is_read_at_any_size_and_without_the_pixels(tmp_path: Path) -> None:
    """The file announces 3,600 million pixels: Pillow refuses such ones, and they would take 14 GB."""
    text = b"fusionkit\0\0\0\0\0" + json.dumps({"recipe": "prompt: a hill"}).encode()
    (tmp_path / "a.png").write_bytes(png((60_000, 60_000), b"", 8, 2, chunk(b"iTXt", text)))
    tracemalloc.start()
    try:
        assert read_metadata(tmp_path / "a.png") == {"recipe": "prompt: a hill"}
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    # Where a PNG says nothing, its pixels are not decoded to look behind them.
    (tmp_path / "b.png").write_bytes(png((60_000, 60_000), b"", 8, 2))
    with pytest.raises(RecipeError, match="carries no recipe"):
        read_metadata(tmp_path / "b.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_what_fusionkit_wrote_it_reads_beyond_pillows_limit(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = save_image(Image.new("RGB", (64, 64)), tmp_path / name, {"recipe": "prompt: a hill"})
    assert read_metadata(path) == {"recipe": "prompt: a hill"}
