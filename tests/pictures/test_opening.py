"""What input pictures become, whatever their format, their numbers and their colours."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, features

from fusionkit.pictures.opening import PictureError
from fusionkit.pictures.picture import has_more, open_picture, picture_problems, picture_size

GREY = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (32, 1))
HALF = np.where(GREY > 127, 255, 0).astype(np.uint8)
ON_WHITE = np.where(HALF == 255, GREY, 255).astype(int)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(size: tuple[int, int], rows: bytes, bits: int, colours: int, *chunks: bytes) -> bytes:
    """A PNG as its specification has it; Pillow writes few of its kinds."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pixels(path: Path) -> NDArray[np.int_]:
    opened = open_picture(path)
    assert opened.mode == "RGB"
    return np.asarray(opened).astype(int)


def grey(path: Path) -> NDArray[np.int_]:
    """The one channel of a picture that has no colours."""
    found = pixels(path)
    assert (np.ptp(found, axis=-1) <= 2).all()
    return found[..., 1]


def with_alpha(mode: str) -> Image.Image:
    colours = [Image.fromarray(GREY)] * (1 if mode == "LA" else 3)
    return Image.merge(mode, [*colours, Image.fromarray(HALF)])


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("rgba.png", lambda: with_alpha("RGBA")),
        ("la.png", lambda: with_alpha("LA")),
        ("rgba.tif", lambda: with_alpha("RGBA")),
        ("la.tif", lambda: with_alpha("LA")),
        ("rgba.webp", lambda: with_alpha("RGBA")),
    ],
)
def test_what_is_transparent_shows_white(name: str, make: Callable[[], Image.Image], tmp_path: Path) -> None:
    make().save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    assert np.array_equal(grey(tmp_path / name), ON_WHITE)


def test_what_is_half_transparent_is_mixed_with_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (200, 0, 100, 51)).save(tmp_path / "a.png")
    assert np.abs(pixels(tmp_path / "a.png")[0, 0] - [244, 204, 224]).max() <= 1


@pytest.mark.parametrize("transparency", [2, bytes([255, 255, 0] + [255] * 5)])
def test_a_transparent_entry_of_a_palette(transparency: Any, tmp_path: Path) -> None:
    palette = Image.fromarray(np.array([[0, 1, 2, 3]], np.uint8), "L").convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    palette.save(tmp_path / "a.png", transparency=transparency)
    assert pixels(tmp_path / "a.png")[0].tolist() == [[10, 20, 30], [40, 50, 60], [255] * 3, [100, 110, 120]]


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        # One grey of 4 bits: 5 of 15 is 85 of 255.
        (png((4, 1), b"\x00\x05\x5f", 4, 0, chunk(b"tRNS", b"\x00\x05")), [0, 255, 255, 255]),
        (png((4, 1), b"\x00\x05\x5f", 4, 0, chunk(b"tRNS", b"\x00\x0f")), [0, 85, 85, 255]),
        (png((2, 1), b"\x00\x00\x7f", 8, 0, chunk(b"tRNS", b"\x00\x00")), [255, 127]),
        (png((2, 1), b"\x00\x40", 1, 0, chunk(b"tRNS", b"\x00\x00")), [255, 255]),
        (png((2, 1), b"\x00\x12\x34\x80\x80", 16, 0, chunk(b"tRNS", b"\x12\x34")), [255, 128]),
        (png((2, 1), b"\x00" + b"\x12\x34" * 3 + b"\x99\x99" * 3, 16, 2, chunk(b"tRNS", b"\x12\x34" * 3)), [255, 153]),
        (png((2, 1), b"\x00" + b"\x12" * 3 + b"\x99" * 3, 8, 2, chunk(b"tRNS", b"\x00\x12" * 3)), [255, 153]),
    ],
    ids=["4 bits", "4 bits, white", "8 bits", "1 bit", "16 bits", "colours of 16 bits", "colours"],
)
def test_a_transparent_colour_of_a_png(data: bytes, shown: list[int], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    assert grey(tmp_path / "a.png")[0].tolist() == shown


def big_endian() -> Image.Image:
    return Image.frombytes("I;16B", (64, 32), (GREY.astype(">u2") * 257).astype(">u2").tobytes())


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("16.png", lambda: Image.fromarray(GREY.astype(np.uint16) * 257)),
        ("16.tif", lambda: Image.fromarray(GREY.astype(np.uint16) * 257)),
        ("16-big-endian.tif", big_endian),
        ("16.pgm", lambda: Image.fromarray(GREY.astype(np.uint16) * 257)),
        ("float.tif", lambda: Image.fromarray((GREY / 255).astype(np.float32))),
        ("float-of-8-bits.tif", lambda: Image.fromarray(GREY.astype(np.float32))),
        ("32-of-8-bits.tif", lambda: Image.fromarray(GREY.astype(np.int32))),
        ("32-of-16-bits.tif", lambda: Image.fromarray(GREY.astype(np.int32) * 257)),
        ("32.tif", lambda: Image.fromarray((GREY * np.float64((2**31 - 1) / 255)).astype(np.int32))),
        ("grey.bmp", lambda: Image.fromarray(GREY)),
        ("cmyk.tif", lambda: Image.fromarray(GREY).convert("CMYK")),
        ("cmyk.jpg", lambda: Image.fromarray(GREY).convert("CMYK")),
        ("ycbcr.jpg", lambda: Image.fromarray(GREY).convert("YCbCr")),
        ("lab.tif", lambda: Image.fromarray(GREY).convert("RGB").convert("LAB")),
    ],
)
def test_numbers_of_every_kind_are_scaled(name: str, make: Callable[[], Image.Image], tmp_path: Path) -> None:
    make().save(tmp_path / name)
    lossy = 3 if name.endswith("jpg") or name.startswith("lab") else 0
    assert np.abs(grey(tmp_path / name) - GREY).max() <= lossy


def test_a_tiff_that_counts_from_white(tmp_path: Path) -> None:
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "a.tif", tiffinfo={262: 0})
    with Image.open(tmp_path / "a.tif") as image:
        assert image.tag_v2[262] == 0
    assert np.array_equal(grey(tmp_path / "a.tif"), 255 - GREY.astype(int))


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        (np.float32([[0, 2.5]]), "it holds numbers up to 2.5, which does not tell what is white"),
        (np.float32([[0.5, -0.5]]), "it holds numbers below 0, down to -0.5"),
        (np.float32([[0.5, np.nan]]), "it holds numbers that are infinite or none"),
        (np.float32([[0.5, np.inf]]), "it holds numbers that are infinite or none"),
        (np.int32([[0, 1_000_000]]), "it holds numbers up to 1e+06, which does not tell what is white"),
        (np.int32([[0, -1]]), ""),
    ],
)
def test_numbers_that_do_not_tell_what_is_white(numbers: Any, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tags = {} if numbers.dtype == np.float32 else {339: 2}  # signed
    Image.fromarray(numbers).save(path, tiffinfo=tags)
    (problem,) = picture_problems(path, "picture of 'from'")
    assert problem.startswith(f"picture of 'from' '{path}' can't be used: {reason or 'it holds numbers below 0'}")
    assert problem.endswith("; save it with numbers of 0..1, or as 16-bit PNG")


def wide_gamut() -> bytes:
    """A profile whose red, green and blue are sRGB's, the other way round: no one can overlook it."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = (profile.index(tag, 128) for tag in (b"rXYZ", b"bXYZ"))
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_a_colour_profile_counts(name: str, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (250, 120, 20)).save(tmp_path / name, icc_profile=wide_gamut(), lossless=True)
    assert np.abs(pixels(tmp_path / name)[3, 3] - [20, 120, 250]).max() <= 2


def test_a_colour_profile_leaves_transparency_alone(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (250, 120, 20, 0)).save(tmp_path / "a.png", icc_profile=wide_gamut())
    assert pixels(tmp_path / "a.png")[3, 3].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    "profile",
    [
        b"garbage" * 50,
        wide_gamut()[:200],
        wide_gamut()[:128],
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    ],
    ids=["garbage", "cut", "header", "of other colours"],
)
def test_a_colour_profile_that_is_damaged_does_not_count(profile: bytes, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (250, 120, 20)).save(tmp_path / "a.png", icc_profile=profile)
    assert pixels(tmp_path / "a.png")[3, 3].tolist() == [250, 120, 20]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("lies", range(1, 9))
def test_it_is_turned_upright(name: str, lies: int, tmp_path: Path) -> None:
    upright = Image.fromarray(
        np.kron(np.array([[0, 80], [160, 255], [40, 220]], np.uint8), np.ones((16, 16), np.uint8))
    )
    turns = [None, 0, 3, 1, 5, 2, 6, 4]  # from upright to as it lies: the inverse of what EXIF asks for
    turned = upright if lies == 1 else upright.transpose(Image.Transpose(turns[lies - 1]))
    exif = Image.Exif()
    exif[0x0112] = lies
    turned.save(tmp_path / name, exif=exif, **({"quality": 95} if name.endswith(("jpg", "webp")) else {}))
    assert np.abs(grey(tmp_path / name) - np.asarray(upright)).max() <= 8
    assert picture_size(tmp_path / name) == (32, 48)


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\x08\0\0\0\x05\0", b"Exif\0\0" + b"\xff" * 50, b"Exif\0\0"])
def test_damaged_exif_does_not_count(exif: bytes, tmp_path: Path) -> None:
    Image.new("RGB", (16, 8), (0, 255, 0)).save(tmp_path / "a.jpg", exif=exif)
    assert open_picture(tmp_path / "a.jpg").size == picture_size(tmp_path / "a.jpg") == (16, 8)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_of_several_frames_the_first_counts(name: str, tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255)))
    first.save(tmp_path / name, save_all=True, append_images=[second])
    assert np.abs(pixels(tmp_path / name)[0, 0] - [255, 0, 0]).max() <= 2
    assert has_more(tmp_path / name)
    first.save(tmp_path / name)
    assert not has_more(tmp_path / name)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif(tmp_path: Path) -> None:
    with_alpha("RGBA").save(tmp_path / "a.avif")
    assert np.abs(grey(tmp_path / "a.avif") - ON_WHITE).max() <= 8


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.gif", "a.bmp", "a.ppm"])
def test_pillows_limits_do_not_hold_and_are_left_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(GREY).convert("RGB").save(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # a twentieth of it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        assert open_picture(tmp_path / name).size == picture_size(tmp_path / name) == (64, 32)
        assert list(warnings.filters) == before
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / name)


def test_other_threads_find_warnings_as_they_were(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    Image.fromarray(GREY).save(tmp_path / "a.png")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as threads:
        sizes = set(threads.map(lambda _: open_picture(tmp_path / "a.png").size, range(100)))
    assert sizes == {(64, 32)}
    assert list(warnings.filters) == before


def test_scaled_to_cover_a_size(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    assert open_picture(tmp_path / "a.png", (16, 16)).size == (16, 16)
    data = BytesIO((tmp_path / "a.png").read_bytes())
    assert data.getvalue()[:4] == b"\x89PNG"
    with pytest.raises(PictureError, match="does not exist"):
        open_picture(tmp_path / "b.png", (16, 16))
