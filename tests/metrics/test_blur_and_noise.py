"""Blur and noise of photos, and of worse copies of them: what is known to be worse has a worse value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from measured import noise, picture_of, tools
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from skimage.measure import blur_effect
from skimage.restoration import estimate_sigma

from fusionkit.evaluation import Metric, Picture, evaluate, read_pictures
from fusionkit_metrics import Blur, Noise

PHOTOS = ("astronaut", "coffee", "rocket", "chelsea")
"""Photographs that scikit-image comes with, of four sizes."""


@pytest.fixture(scope="module", params=PHOTOS)
def photo(request: pytest.FixtureRequest) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = getattr(skimage.data, request.param)()
    return found


def blurred(pixels: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma)))


def noised(pixels: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    drawn = np.random.default_rng(0).normal(0, sigma, pixels.shape)
    return (pixels + drawn).round().clip(0, 255).astype(np.uint8)


def value(metric: Metric, pixels: NDArray[np.uint8], folder: Path) -> float:
    return float(metric.describe(picture_of(pixels, folder / "photo.png"), tools()))


def test_the_more_a_photo_is_blurred_the_higher_its_blur(photo: NDArray[np.uint8], tmp_path: Path) -> None:
    found = [value(Blur(), blurred(photo, sigma), tmp_path) for sigma in (0, 1, 2, 4)]
    assert found == sorted(found)
    assert np.diff(found).min() > 0.04
    assert found[0] == pytest.approx(blur_effect(photo, channel_axis=-1))


def test_added_noise_is_measured_in_its_own_unit(photo: NDArray[np.uint8], tmp_path: Path) -> None:
    found = [value(Noise(), noised(photo, sigma), tmp_path) for sigma in (0, 5, 10, 20)]
    assert found == sorted(found)
    assert found[1:] == pytest.approx([5, 10, 20], rel=0.3)
    assert found[0] == pytest.approx(estimate_sigma(photo, channel_axis=-1, average_sigmas=True))
    assert value(Noise(), blurred(photo, 2), tmp_path) < found[0], "read it beside blur"


def test_black_and_flat_pictures_have_a_value(tmp_path: Path) -> None:
    for level in (0, 200):
        flat = np.full((32, 48, 3), level, np.uint8)
        assert value(Noise(), flat, tmp_path) == 0
        assert value(Blur(), flat, tmp_path) == pytest.approx(1)


def test_larger_pictures_are_reduced_and_smaller_ones_are_not(tmp_path: Path) -> None:
    large = noise(64, 256)
    small = np.asarray(Image.fromarray(large).resize((128, 32), Image.Resampling.LANCZOS))
    for kind in (Blur, Noise):
        assert (
            value(kind(longest=128), large, tmp_path)
            == value(kind(), small, tmp_path)
            != value(kind(), large, tmp_path)
        )
        assert value(kind(longest=500), large, tmp_path) == value(kind(), large, tmp_path)


def test_photos_of_several_sizes_are_one_set_with_an_interval(tmp_path: Path) -> None:
    for name in PHOTOS[:3]:
        Image.fromarray(getattr(skimage.data, name)()).save(tmp_path / f"{name}.jpg", quality=95)
    photos = read_pictures(tmp_path)
    assert len({each.size for each in photos}) == 3
    found = evaluate(photos, [Blur(longest=256), Noise(longest=256)], tools())
    for name, score in found.scores.items():
        assert score.value == pytest.approx(np.mean(found.each[name]))
        assert score.low < score.value < score.high
        assert (score.count, len(found.notes)) == (3, 0)


def test_too_small_a_picture_is_named(tmp_path: Path) -> None:
    strip = picture_of(noise(12, 400), tmp_path / "strip.png")
    dot = picture_of(noise(3, 3), tmp_path / "dot.png")

    def told(metric: Metric, *pictures: Picture) -> list[str]:
        return metric.problems(pictures, [], tools())

    assert told(Blur(), strip) == []
    assert told(Blur(), strip, dot) == ["needs pictures of at least 11x11 pixels; too small: dot.png"]
    assert told(Noise(), dot) == ["needs pictures of at least 4x4 pixels; too small: dot.png"]
    assert told(Blur(longest=200), strip) == [
        "needs pictures of at least 11x11 pixels when their longer side is 200; too small: strip.png"
    ]
