"""What of a photo's EXIF goes on with a picture made of it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fusionkit.pictures.exif import exif_of
from fusionkit.pictures.image import save_image
from fusionkit.pictures.metadata import read_metadata

EXIF, GPS = 0x8769, 0x8825
TOLD = {"recipe": "model: x\n"}


def photo(path: Path, **save: Any) -> Path:
    exif: Any = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0132] = "Canon", "EOS R5", "2024:05:01 12:00:00"
    exif[0x0112], exif[0x0100] = 6, 4000  # it lies on its side; a width
    exif[EXIF] = {0x829A: 0.004, 0x8827: 400, 0x927C: b"maker", 0xA002: 4000, 0xA001: 65535, 0x9003: "2024:05:01"}
    exif[GPS] = {1: "N", 2: (48.0, 12.0, 3.5)}
    Image.new("RGB", (8, 6)).save(path, exif=exif.tobytes(), **save)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_camera_date_and_place_go_on_and_nothing_of_the_old_pixels(tmp_path: Path, suffix: str) -> None:
    kept: Any = Image.Exif()
    kept.load(exif_of(photo(tmp_path / f"photo{suffix}")))
    assert dict(kept) | {EXIF: 0, GPS: 0} == {
        0x010F: "Canon",
        0x0110: "EOS R5",
        0x0132: "2024:05:01 12:00:00",
        EXIF: 0,
        GPS: 0,
    }
    assert kept.get_ifd(EXIF) == {0x829A: 0.004, 0x8827: 400, 0x9003: "2024:05:01"}
    assert kept.get_ifd(GPS) == {1: "N", 2: (48.0, 12.0, 3.5)}


def test_a_picture_without_it_and_damaged_one_have_none(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "plain.png")
    assert exif_of(tmp_path / "plain.png") == b""
    # One entry, whose value lies outside of what there is.
    damaged = b"Exif\0\0MM\0*" + struct.pack(">IHHHII", 8, 1, 0x010F, 2, 2**31 - 1, 2**31 - 1)
    Image.new("RGB", (8, 6)).save(tmp_path / "damaged.jpg", exif=damaged)
    assert exif_of(tmp_path / "damaged.jpg") == b""


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_file_carries_it_beside_the_recipe(tmp_path: Path, suffix: str) -> None:
    image = Image.new("RGB", (8, 6))
    image.info["exif"] = exif_of(photo(tmp_path / "photo.jpg"))
    path = save_image(image, tmp_path / f"new{suffix}", TOLD)
    assert read_metadata(path)["recipe"] == TOLD["recipe"]
    with Image.open(path) as saved:
        exif = saved.getexif()
        assert (exif[0x0110], exif.get_ifd(GPS)[1], exif.get(0x0112)) == ("EOS R5", "N", None)
    # A JPEG has no room for much more than a long recipe.
    path = save_image(image, tmp_path / f"long{suffix}", {"recipe": "x" * 64_900})
    with Image.open(path) as saved:
        assert (0x0110 in saved.getexif()) == (suffix != ".jpg")
    assert len(read_metadata(path)["recipe"]) == 64_900


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_to_save_a_picture_leaves_it_as_it_is(tmp_path: Path, suffix: str) -> None:
    image: Any = Image.new("RGB", (8, 6))
    image.info["exif"] = exif_of(photo(tmp_path / "photo.jpg"))
    before = dict(image.getexif()), image.info["exif"]
    for recipe in ("x", "x" * 64_900):
        save_image(image, tmp_path / f"new{suffix}", {"recipe": recipe, "parameters": "a hill"})
        assert (dict(image.getexif()), image.info["exif"]) == before


def test_what_camera_data_left_room_for_is_told_to_other_programs(tmp_path: Path) -> None:
    """Where a recipe has no room for a photo's EXIF, that is left out, and counts no more."""
    image, large = Image.new("RGB", (8, 6)), Image.Exif()
    large[0x010E] = "z" * 40_000
    image.info["exif"] = large.tobytes()
    path = save_image(image, tmp_path / "a.jpg", {"recipe": "x" * 30_000, "parameters": "a hill"})
    with Image.open(path) as saved:
        found: Any = saved.getexif()
        assert found.get_ifd(0x8769)[0x9286] == b"UNICODE\0" + "a hill".encode("utf-16-be")


def test_exif_behind_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    path = photo(tmp_path / "photo.png")
    whole = path.read_bytes()
    at = whole.index(b"eXIf") - 4
    length = 12 + struct.unpack(">I", whole[at : at + 4])[0]
    end = whole.index(b"IEND") - 4
    path.write_bytes(whole[:at] + whole[at + length : end] + whole[at : at + length] + whole[end:])
    kept: Any = Image.Exif()
    kept.load(exif_of(path))
    assert kept[0x010F] == "Canon"
