"""Large canvases need no more memory than told: with a limit that what was done before does not keep."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tifffile

from fusionkit.pictures.image import read_metadata

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux what a process takes")


def within(folder: Path, *told: str) -> list[str]:
    script = Path(__file__).with_name("within_memory.py")
    threads = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    ran = subprocess.run(
        [sys.executable, str(script), *told, str(folder)], capture_output=True, text=True, env={**os.environ, **threads}
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_decoding_keeps_the_ends_of_a_row_of_tiles(tmp_path: Path) -> None:
    assert within(tmp_path, "decoding", "ours") == ["('a.tif', (16384, 256))"]
    assert within(tmp_path, "decoding", "theirs") == ["too much"]


def test_steps_keep_strips_of_the_canvas(tmp_path: Path) -> None:
    assert within(tmp_path, "stepping", "disk") != ["too much"]
    assert within(tmp_path, "stepping", "memory") == ["too much"]
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_32768_pixels_is_drawn_in_the_memory_of_a_small_one(tmp_path: Path) -> None:
    small, wide = within(tmp_path, "picture", "disk")
    assert small.startswith("('small.tif', ")
    assert wide.startswith("('wide.tif', ")
    assert wide.endswith(", 512)")
    with tifffile.TiffFile(tmp_path / "wide.tif") as tiff:
        assert tiff.pages.first.shape == (64, 32768, 3)
        assert tiff.asarray().std() > 20
    told = read_metadata(tmp_path / "wide.tif")
    assert "size: 32768x64" in told["recipe"]
    assert told["latents"] in wide
