"""Files that are not opened as pictures: each is one line, says what it is, and costs next to nothing."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image
from test_opening import chunk, png

import fusionkit.pictures.opening
from fusionkit.pictures.picture import open_picture, picture_problems


def problem(path: Path) -> str:
    (line,) = picture_problems(path, "picture")
    assert line.startswith(f"picture '{path}' ")
    assert "\n" not in line
    return line.removeprefix(f"picture '{path}' ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty, not a picture"),
        (b"hello", "is no picture of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is PostScript, which is not opened; convert it to PNG"),
        (b"%PDF-1.7\n", "is PDF, which is not opened; convert it to PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is SVG, which is not opened; convert it to PNG"),
        (b"SIMPLE  =                    T" + b" " * 3000, "is FITS, which is not opened; convert it to PNG"),
        (b"8BPS\0\1" + bytes(100), "is PSD, which is not opened; convert it to PNG"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "is HEIC, which is not opened; convert it to PNG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(50), "is HEIC, which is not opened; convert it to PNG"),
        (b"\xd7\xcd\xc6\x9a\x00\x00" + bytes(50), "is WMF, which is not opened; convert it to PNG"),
        (b"\x89PNG\r\n\x1a\n", "can't be read: "),
        (png((0, 5), b"", 8, 2), "can't be read: its header makes no sense"),
        (b"BM" + bytes(20), "can't be read: "),
        (b"GIF89a", "can't be read: "),
        (b"II*\0\x08\0\0\0\xff\xff", "can't be read: "),
        (b"RIFF\xff\xff\xff\x7fWEBPVP8 ", "can't be read: "),
        (b"P6 999999999999 1 255 ", "can't be read: "),
    ],
)
def test_no_picture_that_is_opened(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert problem(tmp_path / "a.png").startswith(says)


def test_no_other_program_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow gives PostScript to Ghostscript, whatever the file's name."""
    script = tmp_path / "gs"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    assert problem(tmp_path / "a.png") == "is PostScript, which is not opened; convert it to PNG"
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="has none of these")
def test_what_is_no_ordinary_file_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    assert problem(tmp_path / "pipe.png") == "is a pipe, not a picture"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.png")
        assert problem(tmp_path / "socket.png") == "is a socket, not a picture"
    (tmp_path / "link.png").symlink_to("/dev/zero")
    assert problem(tmp_path / "link.png") == "is a device, not a picture"
    (tmp_path / "folder.png").mkdir()
    assert problem(tmp_path / "folder.png") == "is a folder, not a picture"
    assert problem(tmp_path / "none.png") == "does not exist"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a\ud800.png", "has a name that no file can have"),
        ("a\0.png", "can't be read: no file's name holds the character 0"),
        ("x" * 300 + ".png", "can't be read: File name too long"),
    ],
)
def test_names_that_no_file_can_have(name: str, says: str, tmp_path: Path) -> None:
    assert problem(tmp_path / name) == says


def test_colours_in_floats_are_refused(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    for kind in (np.float32, np.float64, np.int32):
        cv2.imwrite(str(tmp_path / "a.tif"), np.zeros((8, 8, 3), kind))
        assert problem(tmp_path / "a.tif") == (
            "can't be read: its numbers are of a kind that is not known; save it with 8 or 16 bits a colour"
        )


def test_every_way_to_cut_a_picture(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.webp", "a.tif", "a.gif"):
        Image.effect_noise((32, 32), 60).convert("RGB").save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        for part in range(0, 40, 3):
            (tmp_path / name).write_bytes(whole[: len(whole) * part // 40])
            problem(tmp_path / name)


def test_every_byte_of_a_header_may_be_wrong(tmp_path: Path) -> None:
    """One line or a picture, never another exception; 0.3 s for about 600 files."""
    for name in ("a.png", "a.jpg", "a.webp", "a.tif", "a.gif"):
        Image.effect_noise((16, 16), 60).convert("RGB").save(tmp_path / name)
        whole = bytearray((tmp_path / name).read_bytes())
        for place in range(min(len(whole), 120)):
            changed = bytes([*whole[:place], whole[place] ^ 0xFF, *whole[place + 1 :]])
            (tmp_path / name).write_bytes(changed)
            lines = picture_problems(tmp_path / name, "picture")
            assert len("\n".join(lines).splitlines()) < 2


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_text_that_unpacks_to_a_lot(kind: bytes, tmp_path: Path) -> None:
    packed = zlib.compress(bytes(10**8))
    text = b"a\0\0" + packed if kind == b"zTXt" else b"a\0\1\0\0\0" + packed
    (tmp_path / "a.png").write_bytes(png((1, 1), bytes(4), 8, 2, chunk(kind, text)))
    assert problem(tmp_path / "a.png") == (
        "can't be read: it holds more text than a picture's notes may take, 1 MB unpacked"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="others do not limit a process's memory so")
def test_a_small_file_that_announces_gigabytes_takes_none(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png((60_000, 40_000), b"", 8, 2))
    jpeg = bytearray()
    Image.new("L", (8, 8)).save(tmp_path / "a.jpg")
    jpeg += (tmp_path / "a.jpg").read_bytes()
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
    (tmp_path / "a.jpg").write_bytes(jpeg)
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom fusionkit.pictures.picture import picture_problems\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
        "print(*picture_problems(Path(sys.argv[1]), 'picture'))\n"
        "print(*picture_problems(Path(sys.argv[2]), 'picture'))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png"), str(tmp_path / "a.jpg")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, second = ran.stdout.splitlines()
    assert "can't be read: 60000x40000 pixels can't be in " in first
    assert "can't be read: 65000x65000 pixels can't be in " in second


def test_memory_alone_limits_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (100, 50), (9, 8, 7)).save(tmp_path / "a.png")
    monkeypatch.setattr(fusionkit.pictures.opening, "_LARGE", 1000)
    assert open_picture(tmp_path / "a.png").getpixel((3, 3)) == (9, 8, 7)
    monkeypatch.setattr(fusionkit.pictures.opening, "available_memory", lambda: 39_999)
    assert problem(tmp_path / "a.png") == ("has 100x50 pixels, which take 40.0 kB of memory; 40.0 kB are free")
    monkeypatch.setattr(fusionkit.pictures.opening, "available_memory", lambda: 40_000)
    assert open_picture(tmp_path / "a.png").size == (100, 50)
