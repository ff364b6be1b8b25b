"""Seams: a drawn one is found at its place and with its strength, in every layout of views; the rest is no seam."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import numpy as np
import pytest
from measured import noise, picture_of, tools
from numpy.typing import NDArray

from fusionkit.loop.views import windows
from fusionkit_metrics import Seam
from fusionkit_metrics.seam import border_shares, jumps, phase_of, profile

VIEWS = [((0, 0, 64, 64), 1.0), ((48, 0, 112, 64), 1.0), ((64, 0, 128, 64), 1.0)]
"""Of a picture of 128x64 pixels: they end at 48, 64 and 112."""


def ramp(height: int, width: int, slope: float = 1.0) -> NDArray[np.float64]:
    """Brightness that rises by `slope` from each column to the next."""
    return np.tile(slope * np.arange(width), (height, 1))


def grey(brightness: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.repeat(brightness[..., None], 3, axis=2).round().clip(0, 255).astype(np.uint8)


def grid(width: int, height: int, window: int, stride: int) -> list[tuple[tuple[int, int, int, int], float]]:
    views = windows((height, width), (window, window), (stride, stride))
    return [((v.left, v.top, v.left + v.width, v.top + v.height), 1.0) for v in views]


@pytest.mark.parametrize("place", [17, 48, 112])
def test_a_drawn_seam_is_found_at_its_place(place: int) -> None:
    drawn = ramp(64, 128) + 20 * (np.arange(128) >= place)
    found = profile(grey(drawn))
    assert found.shape == (127,)
    assert int(found.argmax()) + 1 == place
    assert found[place - 1] == pytest.approx(21)
    assert np.delete(found, place - 1) == pytest.approx(np.ones(126))
    turned = profile(grey(drawn).swapaxes(0, 1), axis=0)
    assert turned == pytest.approx(found)


def test_a_seam_counts_by_its_height_at_the_borders_and_nowhere_else() -> None:
    # Borders at 48, 64 and 112; one of the three jumps by 20 more.
    assert jumps(ramp(64, 128) + 20 * (np.arange(128) >= 64), VIEWS, 4) == pytest.approx([(21 + 1 + 1) / 3, 1])
    # A jump at 80, where no view ends: of the 31 multiples of 4 below 128, 28 are no border.
    assert jumps(ramp(64, 128) + 20 * (np.arange(128) >= 80), VIEWS, 4) == pytest.approx([1, (21 + 27) / 28])
    # A jump between two latent pixels' places is a matter of the decoder: it counts for neither.
    assert jumps(ramp(64, 128) + 20 * (np.arange(128) >= 82), VIEWS, 4) == pytest.approx([1, 1])


def test_the_decoders_own_grid_is_no_seam() -> None:
    stairs = ramp(64, 128) + 9 * (np.arange(128) // 4)
    assert jumps(stairs, VIEWS, 4) == pytest.approx([10, 10])
    assert jumps(stairs, VIEWS, 1)[1] < 5, "without the phase it would look like one"


def test_a_view_that_is_there_in_some_steps_counts_by_their_share() -> None:
    views = [((0, 0, 32, 8), 1.0), ((32, 0, 64, 8), 0.25), ((16, 0, 48, 8), 0.5)]
    shares = border_shares(views, (64, 8), 16)
    assert shares.shape == (8, 3)
    assert shares[0].tolist() == [0.5, 1.0, 0.5]
    assert border_shares([((0, 0, 32, 8), 0.5), ((32, 0, 64, 8), 0.5)], (64, 8), 16)[0].tolist() == [0, 0.75, 0]
    drawn = 10.0 * (np.arange(64) >= 16) + 40.0 * (np.arange(64) >= 32) + np.zeros((8, 1))
    border, elsewhere = jumps(drawn, views, 16)
    assert border == pytest.approx((0.5 * 10 + 1.0 * 40) / 2)
    assert elsewhere == pytest.approx((0.5 * 10) / 1)


def test_the_phase_is_a_latent_pixels_unless_views_end_in_between(tmp_path: Path) -> None:
    phases = {}
    for stride in (48, 20, 33):
        picture = picture_of(noise(64, 256), tmp_path / f"{stride}.png", crop=(64, 64), stride=stride)
        phases[stride] = phase_of(picture)
    assert phases == {48: 8, 20: 4, 33: 1}


def test_in_a_grid_a_border_is_as_long_as_its_view() -> None:
    views = [((0, 0, 32, 16), 1.0), ((16, 16, 64, 48), 1.0)]
    shares = border_shares(views, (64, 48), 16)
    assert shares[:16].tolist() == [[0, 1, 0]] * 16
    assert shares[16:].tolist() == [[1, 0, 0]] * 32


def test_each_direction_is_compared_with_itself() -> None:
    # Rows differ by 30 everywhere and columns by 1: a horizon is no seam.
    drawn = 30.0 * np.arange(128)[:, None] + np.arange(128)[None]
    border, elsewhere = jumps(drawn, grid(128, 128, 64, 48), 8)
    assert border == pytest.approx(elsewhere)
    assert border == pytest.approx((30 + 1) / 2)


def test_a_set_is_the_ratio_of_sums_and_a_picture_its_own(tmp_path: Path) -> None:
    told = {"crop": (64, 64), "stride": 48}
    seam = grey(ramp(64, 128) + 20 * (np.arange(128) >= 64))
    plain = grey(100 + ramp(64, 128))
    pictures = [picture_of(each, tmp_path / f"{n}.png", **told) for n, each in enumerate((seam, plain))]
    assert Seam().problems(pictures, [], tools()) == []
    described = [Seam().describe(each, tools()) for each in pictures]
    (b, e), flat = described[0], described[1]
    assert flat == pytest.approx([1, 1])
    assert (b, e) == pytest.approx((23 / 3, 1))
    assert [Seam().each(each) for each in described] == pytest.approx([23 / 3, 1])
    assert Seam().score(described, []) == pytest.approx((23 / 3 + 1) / (1 + 1))


def test_noise_has_no_seams() -> None:
    brightness = noise(256, 512).astype(np.float64).mean(2)
    border, elsewhere = jumps(brightness, grid(512, 256, 128, 96), 8)
    assert border / elsewhere == pytest.approx(1, abs=0.02)


def test_blended_windows_have_weaker_seams_than_averaged_ones() -> None:
    # Two windows that disagree by 12, overlapping from 48 to 64: averaged there, or blended linearly.
    x = np.arange(112.0)
    averaged = np.where(x < 48, 0, np.where(x < 64, 6, 12)) + 0.5 * x + np.zeros((64, 1))
    blended = 12 * ((x - 47.5) / 16).clip(0, 1) + 0.5 * x + np.zeros((64, 1))
    views = grid(112, 64, 64, 48)
    ratios = [b / e for b, e in (jumps(each, views, 8) for each in (averaged, blended))]
    assert ratios[0] == pytest.approx((0.5 + 6) / 0.5)
    assert 1 < ratios[1] < 2


def test_without_a_border_or_without_anything_else_there_is_no_score(tmp_path: Path) -> None:
    single = picture_of(noise(64, 64), tmp_path / "a.png", crop=(64, 64), stride=16)
    assert Seam().problems([single], [], tools()) == [
        "needs pictures of several views; there is no border between views in any of these"
    ]
    assert isnan(Seam().each(Seam().describe(single, tools())))
    everywhere = picture_of(noise(16, 64), tmp_path / "b.png", crop=(16, 16), stride=8)
    assert Seam().problems([everywhere], [], tools()) == [
        "needs places without a border to compare with; the views of these pictures end everywhere"
    ]
    assert isnan(Seam().score([Seam().describe(each, tools()) for each in (single, everywhere)], []))
    foreign = picture_of(noise(64, 128), tmp_path / "c.png", crop=(64, 64))
    assert "--stride" in Seam().problems([foreign], [], tools())[0]


def test_a_flat_picture_has_no_ratio_and_does_not_count(tmp_path: Path) -> None:
    assert isnan(Seam().each(np.array([0.0, 0.0])))
    assert Seam().score([np.array([0.0, 0.0]), np.array([3.0, 2.0]), np.array([np.nan, np.nan])], []) == 1.5
