"""Coverage: drawn holes of known size, and flat skies that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from measured import noise, picture_of, tools
from numpy.typing import NDArray

from fusionkit_metrics import Coverage
from fusionkit_metrics.coverage import holes


def sky(width: int = 160, height: int = 80, level: int = 255) -> NDArray[np.uint8]:
    """Noise below a flat sky with a wavy edge that covers about half of the picture."""
    pixels = noise(height, width, low=40, high=200)
    edge = height / 2 + 12 * np.sin(np.arange(width) / 11)
    pixels[np.arange(height)[:, None] < edge] = level
    return pixels


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (116, 120, 118), (0, 255, 0)], ids=str)
@pytest.mark.parametrize("left", [0, 37, 144], ids=["at the edge", "off every grid", "at the other edge"])
def test_a_hole_of_a_tenth_leaves_nine_tenths(colour: tuple[int, int, int], left: int, tmp_path: Path) -> None:
    pixels = noise(64, 160)
    pixels[:, left : left + 16] = colour
    picture = picture_of(pixels, tmp_path / "a.png")
    assert Coverage().problems([picture], [], tools()) == []
    assert Coverage().describe(picture, tools()) == pytest.approx(0.9)
    assert (holes(pixels) == (pixels == colour).all(2)).all()


def test_several_holes_add_up() -> None:
    pixels = noise(100, 100)
    pixels[10:20, 10:30] = 0
    pixels[50:90, 60:70] = 77
    assert holes(pixels).mean() == pytest.approx(0.02 + 0.04)


@pytest.mark.parametrize("level", [0, 255], ids=["night", "noon"])
def test_a_sky_without_detail_is_no_hole(level: int) -> None:
    assert not holes(sky(level=level)).any()


def test_what_is_drawn_flat_but_not_quite_is_no_hole() -> None:
    assert not holes(noise(64, 64, low=100, high=104)).any()
    assert holes(noise(64, 64, low=100, high=102)).all(), "rounding alone"
    assert not holes(noise(64, 64, low=100, high=102), tolerance=0).any()
    assert not holes(np.tile(np.arange(0, 128, 1, np.uint8)[None, :, None], (64, 1, 3)), tolerance=3).any()


def test_one_flat_channel_is_no_hole() -> None:
    pixels = noise(64, 64)
    pixels[..., 2] = 255
    assert not holes(pixels).any()


def test_small_flat_patches_are_no_holes() -> None:
    pixels = noise(64, 64)
    pixels[20:27, 20:60] = 50
    assert not holes(pixels).any()
    assert holes(pixels, block=7).sum() == 7 * 40


def test_a_picture_smaller_than_a_hole_has_none() -> None:
    assert not holes(np.zeros((4, 40, 3), np.uint8)).any()
