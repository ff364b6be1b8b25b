"""Pictures whose numbers Pillow misreads or passes on as they are: read as a viewer shows them, or refused."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_opening import GREY, chunk, grey, pixels, png

from fusionkit.pictures.picture import picture_problems

COLOURS = np.stack([GREY, 255 - GREY, np.full_like(GREY, 7)], -1)


def tiff(strips: Sequence[bytes], order: str = "<", **tags: Sequence[int]) -> bytes:
    """A TIFF of 64x32 pixels as its specification has it; Pillow writes few of its kinds."""
    numbers = {"bits": 258, "compression": 259, "photometric": 262, "samples": 277, "planar": 284, "format": 339}
    places = [8 + sum(map(len, strips[:index])) for index in range(len(strips))]
    entries: dict[int, Sequence[int]] = {256: [64], 257: [32], 258: [8], 259: [1], 262: [1], 277: [1], 278: [32]}
    entries |= {273: places, 279: [len(each) for each in strips]} | {numbers[name]: each for name, each in tags.items()}
    body = (b"II*\0" if order == "<" else b"MM\0*") + b"\0" * 4 + b"".join(strips)
    fields = []
    for tag in sorted(entries):
        values = entries[tag]
        packed = struct.pack(f"{order}{len(values)}I", *values)
        kind = 4
        if tag not in (273, 279):
            kind, packed = 3, struct.pack(f"{order}{len(values)}H", *values)
        if len(packed) > 4:
            place, body = len(body), body + packed
            packed = struct.pack(f"{order}I", place)
        fields.append(struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0"))
    end = struct.pack(f"{order}H", len(fields)) + b"".join(fields) + b"\0" * 4
    return body[:4] + struct.pack(f"{order}I", len(body)) + body[8:] + end


def planes(kind: Any) -> list[bytes]:
    return [
        (COLOURS[..., channel].astype(kind) * (257 if np.dtype(kind).itemsize == 2 else 1)).tobytes()
        for channel in range(3)
    ]


def test_planes_of_8_bits_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(planes("u1"), bits=[8] * 3, photometric=[2], samples=[3], planar=[2]))
    assert np.array_equal(pixels(tmp_path / "a.tif"), COLOURS)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (tiff(planes("<u2"), bits=[16] * 3, photometric=[2], samples=[3], planar=[2]), "its colours lie in planes"),
        (tiff([GREY.tobytes()], photometric=[0], planar=[2]), "its colours lie in planes"),
        (tiff([GREY.astype("<u2").tobytes()], bits=[16], planar=[2]), "its colours lie in planes"),
        (tiff([GREY.tobytes()], format=[2]), "its numbers of 8 bits may be below 0"),
    ],
    ids=["16 bits", "from white", "one plane", "signed"],
)
def test_what_would_be_misread_is_refused(data: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(data)
    (problem,) = picture_problems(tmp_path / "a.tif", "picture")
    assert problem.startswith(f"picture '{tmp_path / 'a.tif'}' can't be read: {says}")
    assert problem.endswith("; save it as PNG")


def test_packed_floats_of_either_byte_order(tmp_path: Path) -> None:
    for order in "<>":
        packed = zlib.compress((GREY / 255).astype(f"{order}f4").tobytes())
        (tmp_path / "a.tif").write_bytes(tiff([packed], order, bits=[32], compression=[8], format=[3]))
        assert np.array_equal(grey(tmp_path / "a.tif"), GREY)


def test_signed_numbers_of_16_bits_are_white_at_their_largest(tmp_path: Path) -> None:
    numbers = np.rint(GREY / 255 * (2**15 - 1)).astype("<i2")
    (tmp_path / "a.tif").write_bytes(tiff([numbers.tobytes()], bits=[16], format=[2]))
    assert np.array_equal(grey(tmp_path / "a.tif"), GREY)


ROWS = b"".join(b"\0" + row.tobytes() for row in GREY)


def shown(*chunks: bytes) -> bytes:
    return png((64, 32), ROWS, 8, 0, *chunks)


def gamma(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


LINEAR = GREY / 255
FROM_LINEAR = np.rint(255 * np.where(LINEAR <= 0.0031308, 12.92 * LINEAR, 1.055 * LINEAR ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([gamma(1)], FROM_LINEAR),
        ([chunk(b"cICP", bytes([1, 8, 0, 1]))], FROM_LINEAR),
        ([gamma(1 / 2.2)], GREY),
        ([gamma(1), chunk(b"sRGB", b"\0")], GREY),
        ([gamma(1), chunk(b"cICP", bytes([1, 13, 0, 1]))], GREY),
        ([gamma(0)], GREY),
        ([gamma(1000)], GREY),
        ([chunk(b"gAMA", b"\0")], None),
        ([chunk(b"cICP", b"\1")], GREY),
    ],
    ids=["linear", "linear by code", "usual", "sRGB", "sRGB by code", "none", "absurd", "cut", "cut code"],
)
def test_what_a_png_says_of_its_brightness_counts(chunks: list[bytes], expected: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(shown(*chunks))
    if expected is None:
        (problem,) = picture_problems(tmp_path / "a.png", "picture")
        assert "can't be read: it is cut off" in problem
    else:
        assert np.abs(grey(tmp_path / "a.png") - expected).max() <= 1


@pytest.mark.parametrize("transfer", [16, 18])
def test_a_png_for_bright_screens_is_refused(transfer: int, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(shown(chunk(b"cICP", bytes([9, transfer, 0, 1]))))
    (problem,) = picture_problems(tmp_path / "a.png", "picture")
    assert problem.endswith("can't be used: its colours are those of bright screens (HDR); save it in sRGB")


def test_damaged_headers_are_told_in_our_words_and_nowhere_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What nobody listens to, logging prints; pytest listens to everything.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    many = tmp_path / "many.tif"
    many.write_bytes(tiff([GREY.tobytes()], samples=[2048]))
    header = tmp_path / "a.ppm"
    header.write_bytes(b"P6 64 3x 255 " + bytes(64 * 32 * 3))
    webp = tmp_path / "a.webp"
    Image.fromarray(COLOURS).save(webp)
    webp.write_bytes(webp.read_bytes()[:100])
    (tmp_path / "one-letter").write_bytes(b"x")
    (problem,) = picture_problems(tmp_path / "one-letter", "picture")
    assert problem.endswith("can't be read: it is cut off")
    for path, says in ((many, ""), (header, ""), (webp, "it is cut off, or ")):
        (problem,) = picture_problems(path, "picture")
        assert problem == f"picture '{path}' can't be read: {says}its header makes no sense"
    assert capfd.readouterr() == ("", "")
