"""Variance: known fields, blur, and the ratio to a reference prompt by prompt."""

from __future__ import annotations

from math import isnan, sqrt
from pathlib import Path

import cv2
import numpy as np
import pytest
from measured import noise, picture_of, tools
from numpy.typing import NDArray

from fusionkit_metrics import Variance, VarianceRatio
from fusionkit_metrics.luminance import luminance
from fusionkit_metrics.variance import detail


def checks(side: int, period: int, low: float, high: float) -> NDArray[np.float64]:
    """A chessboard of fields of `period` pixels."""
    y, x = np.mgrid[0:side, 0:side] // period
    return np.where((x + y) % 2, float(high), float(low))


def grey(value: float, spread: float, prompt: str, path: Path) -> object:
    """A picture whose pixels are `value` with a chessboard of +-`spread`."""
    pixels = np.repeat((value + checks(32, 1, -spread, spread))[..., None], 3, axis=2)
    return picture_of(pixels.astype(np.uint8), path, crop=(32, 32), prompt=prompt)


def test_brightness_is_what_an_eye_sees() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 10, 10]]], np.uint8)
    assert luminance(colours)[0] == pytest.approx([76.245, 149.685, 29.07, 10])


def test_known_fields() -> None:
    fine, coarse = checks(32, 1, 10, 30), checks(32, 8, 10, 30)
    assert detail(fine[None], "pixels", 8) == pytest.approx(100)
    assert detail(fine[None], "local", 8) == pytest.approx(100)
    assert detail(coarse[None], "pixels", 8) == pytest.approx(100)
    assert detail(coarse[None], "local", 8) == 0, "each block lies in one field"
    assert detail(coarse[None], "local", 16) == pytest.approx(100)
    # The Laplacian of a chessboard of +-10 is -4 times twice that, everywhere but for the mirrored border.
    assert detail(fine[None], "laplacian", 8) == pytest.approx((8 * 10) ** 2)
    assert detail(np.stack([fine, coarse]), "local", 8) == pytest.approx(50)


def test_blocks_that_do_not_divide_the_crop_leave_a_rest_out() -> None:
    brightness = np.zeros((1, 20, 20))
    brightness[:, :, 16:] = 255
    assert detail(brightness, "local", 8) == 0
    assert detail(brightness, "local", 99) == pytest.approx(float(brightness.var()))


@pytest.mark.parametrize("measure", ["local", "laplacian", "pixels"])
def test_blur_lowers_every_measure(measure: str, tmp_path: Path) -> None:
    sharp = noise(64, 64)
    found = []
    for number, sigma in enumerate((0.0, 0.8, 1.6)):
        pixels = cv2.GaussianBlur(sharp, (0, 0), sigma) if sigma else sharp
        picture = picture_of(pixels, tmp_path / f"{number}.png", crop=(64, 64))
        found.append(Variance(measure=measure).describe(picture, tools()))
    assert found[0] > 2 * found[1] > 4 * found[2] > 0


def test_a_pictures_value_is_the_mean_of_its_crops(tmp_path: Path) -> None:
    pixels = np.concatenate([noise(32, 32), np.zeros((32, 32, 3), np.uint8)], axis=1)
    both = picture_of(pixels, tmp_path / "a.png", crop=(32, 32))
    one = picture_of(pixels[:, :32], tmp_path / "b.png", crop=(32, 32))
    assert Variance().describe(both, tools()) == pytest.approx(Variance().describe(one, tools()) / 2)


def test_a_block_is_two_latent_pixels_or_what_is_asked_for(tmp_path: Path) -> None:
    picture = picture_of(noise(64, 64), tmp_path / "a.png", crop=(64, 64))
    assert Variance().block_of(picture) == 16
    assert Variance(block=5).block_of(picture) == 5


def test_a_ratio_is_that_of_the_variances(tmp_path: Path) -> None:
    metric = VarianceRatio()
    ours = [metric.describe(grey(100, 20, "sea", tmp_path / "a.png"), tools())]
    theirs = [metric.describe(grey(50, 25, "sea", tmp_path / "b.png"), tools())]
    assert metric.score(ours, theirs) == pytest.approx(20**2 / 25**2, rel=1e-3)
    assert metric.score(theirs, theirs) == 1


def test_prompts_are_compared_with_themselves(tmp_path: Path) -> None:
    metric = VarianceRatio()

    def described(*each: tuple[str, float]) -> list[object]:
        path = tmp_path / "a.png"
        return [metric.describe(grey(100, spread, prompt, path), tools()) for prompt, spread in each]

    # A city has far more detail than the sea; here both lose three quarters of it, in whatever mixture.
    reference = described(("city", 80), ("city", 80), ("sea", 8), ("sea", 8))
    blurred = described(("city", 40), ("sea", 4), ("sea", 4), ("sea", 4))
    assert metric.score(blurred, reference) == pytest.approx(0.25, rel=0.01)
    # What one picture in two loses is a share of all: the geometric mean, whatever the contrast.
    half = described(("city", 80), ("sea", 4))
    assert metric.score(half, reference) == pytest.approx(sqrt(0.25), rel=0.01)
    unknown = described(("", 80), ("", 4))
    assert metric.score(unknown, reference) == pytest.approx(sqrt(80 * 4 / 80 / 8) ** 2, rel=0.02)


def test_a_flat_picture_does_not_decide_all(tmp_path: Path) -> None:
    metric = VarianceRatio()
    flat, plain = (metric.describe(grey(90, spread, "sea", tmp_path / "a.png"), tools()) for spread in (0, 10))
    assert metric.score([flat], [flat]) == 1
    assert metric.score([flat], [plain]) == pytest.approx((1 / 12) / (100 + 1 / 12))
    assert isnan(metric.each(plain))


def test_a_prompt_that_the_reference_lacks_is_named(tmp_path: Path) -> None:
    sea, city = (grey(90, 5, prompt, tmp_path / f"{prompt}.png") for prompt in ("sea", "city"))
    assert VarianceRatio().problems([sea], [sea, city], tools()) == []
    assert VarianceRatio().problems([sea, city], [sea], tools()) == [
        "needs the prompts of the pictures in the reference; it has none of 'city'"
    ]
