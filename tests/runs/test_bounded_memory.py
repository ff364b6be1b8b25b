"""Large canvases need no more memory than told: with a limit that what was done before does not keep."""

from __future__ import annotations

from pathlib import Path

import pytest
import tifffile
from warm import answered

from fusionkit.pictures.image import read_metadata

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux what a process takes")


def within(folder: Path, what: str) -> list[str]:
    from within_memory import begin

    ran = answered(what, work=begin, folder=folder)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_decoding_keeps_the_ends_of_a_row_of_tiles(tmp_path: Path) -> None:
    ours, theirs = within(tmp_path, "decoding")
    assert ours == "('a.tif', (8192, 128))"
    assert theirs == "too much"


def test_steps_keep_strips_of_the_canvas(tmp_path: Path) -> None:
    on_disk, in_memory = within(tmp_path, "stepping")
    assert -1 < float(on_disk) < 1
    assert in_memory == "too much"
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_32768_pixels_is_drawn_in_the_memory_of_a_small_one(tmp_path: Path) -> None:
    small, wide = within(tmp_path, "picture")
    assert small.startswith("('small.tif', ")
    assert wide.startswith("('wide.tif', ")
    assert wide.endswith(", 512)")
    with tifffile.TiffFile(tmp_path / "wide.tif") as tiff:
        assert tiff.pages.first.shape == (32, 32768, 3)
        assert tiff.asarray().std() > 20
    told = read_metadata(tmp_path / "wide.tif")
    assert "size: 32768x32" in told["recipe"]
    assert told["latents"] in wide
