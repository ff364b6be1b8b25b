"""SSIM between two runs, and LPIPS and style loss between the crops of one picture."""

from __future__ import annotations

from itertools import combinations
from math import isnan
from pathlib import Path

import numpy as np
import pytest
import torch
from measured import noise, picture_of, tools
from numpy.typing import NDArray
from PIL import Image

from fusionkit_metrics import SSIM, IntraLPIPS, StyleLoss
from fusionkit_metrics.coherence import grams, style_difference
from fusionkit_metrics.ssim import similarity
from fusionkit_tinyworld.features import TinyworldFeatures, map_distance


def flat(value: int, height: int = 32, width: int = 32) -> NDArray[np.uint8]:
    return np.full((height, width, 3), value, np.uint8)


def test_equal_pictures_are_1() -> None:
    assert similarity(noise(40, 60), noise(40, 60)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("some", "others"), [(100, 120), (0, 255), (7, 7)])
def test_flat_pictures_differ_by_their_brightness_alone(some: int, others: int) -> None:
    constant = (0.01 * 255) ** 2
    expected = (2 * some * others + constant) / (some**2 + others**2 + constant)
    assert similarity(flat(some), flat(others)) == pytest.approx(expected, abs=1e-9)


def test_unrelated_pictures_have_little_in_common() -> None:
    assert abs(similarity(noise(64, 64), noise(64, 64, 1))) < 0.05


def test_ssim_compares_each_picture_with_its_partner(tmp_path: Path) -> None:
    Image.fromarray(flat(120)).save(tmp_path / "partner.png")
    picture = picture_of(flat(100), tmp_path / "a.png", partner=tmp_path / "partner.png")
    assert SSIM().problems([picture], [], tools()) == []
    assert SSIM().describe(picture, tools()) == pytest.approx(similarity(flat(100), flat(120)))
    alone = picture_of(flat(100), tmp_path / "b.png")
    assert isnan(SSIM().describe(alone, tools()))
    assert "same name" in SSIM().problems([alone], [], tools())[0]
    small = picture_of(flat(1, 8, 20), tmp_path / "c.png", partner=tmp_path / "c.png")
    assert SSIM().problems([small], [], tools()) == ["needs pictures of at least 11x11 pixels; c.png has 20x8"]


def test_a_picture_of_equal_crops_is_coherent(tmp_path: Path) -> None:
    look = tools()
    same = picture_of(np.tile(noise(64, 64), (1, 3, 1)), tmp_path / "same.png", crop=(64, 64))
    mixed = np.concatenate([flat(30, 64, 64), noise(64, 64), noise(64, 64, 1, 100, 140)], axis=1)
    other = picture_of(mixed, tmp_path / "other.png", crop=(64, 64))
    for metric in (IntraLPIPS(), StyleLoss()):
        assert metric.problems([same, other], [], look) == []
        assert metric.describe(same, look) == pytest.approx(0, abs=1e-9)
        assert metric.describe(other, look) > 1e-7


def test_both_are_means_over_all_pairs_of_crops(tmp_path: Path) -> None:
    features = TinyworldFeatures.from_weights(None, "cpu")
    picture = picture_of(noise(128, 128), tmp_path / "a.png", crop=(64, 64))
    crops = picture.crops()
    assert len(crops) == 4
    pairs = list(combinations(crops, 2))
    look = tools(features)
    distances = [float(features.perceptual_distance(a[None], b[None])[0]) for a, b in pairs]
    assert IntraLPIPS().describe(picture, look) == pytest.approx(np.mean(distances), rel=1e-5)
    losses = [style_difference(*(grams(features.maps(crop[None])) for crop in pair)) for pair in pairs]
    assert StyleLoss().describe(picture, look) == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_gram_matrix_by_hand() -> None:
    layer = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])  # two channels of one row of two pixels
    (matrix,) = grams([layer])
    assert matrix.tolist() == [[5 / 4, 3 / 4], [3 / 4, 9 / 4]]
    assert style_difference([matrix], [torch.zeros(2, 2)]) == pytest.approx((25 + 9 + 9 + 81) / 16 / 4)
    assert style_difference([matrix, matrix], [matrix, torch.zeros(2, 2)]) == pytest.approx(124 / 64 / 2)


def test_the_distance_of_maps_by_hand() -> None:
    some, others = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    some[0, :, 0, 0], others[0, :, 0, 0] = torch.tensor([3.0, 4.0]), torch.tensor([40.0, 30.0])  # cosine 0.96
    some[0, :, 0, 1], others[0, :, 0, 1] = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 5.0])  # a right angle
    assert map_distance([some], [others]).tolist() == pytest.approx([(2 - 2 * 0.96 + 2) / 2])
    assert map_distance([some, some], [others, some]).tolist() == pytest.approx([1.04 / 2])
    assert map_distance([some], [5 * some]).tolist() == pytest.approx([0.0])


def test_a_picture_of_one_crop_has_no_pairs(tmp_path: Path) -> None:
    single = picture_of(noise(64, 127), tmp_path / "a.png", crop=(64, 64))
    for metric in (IntraLPIPS(), StyleLoss()):
        assert metric.problems([single], [], tools()) == [
            "needs pictures of at least 2 crops; a.png of 127x64 holds one of 64x64"
        ]
        assert isnan(metric.describe(single, tools()))
