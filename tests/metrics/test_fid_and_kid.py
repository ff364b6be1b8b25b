"""FID and KID: their closed forms, their own libraries' numbers, and too few crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from measured import MeanColour, exactly, noise, picture_of, tools
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from fusionkit_metrics import FID, KID
from fusionkit_metrics.fid import frechet_distance, in_their_span
from fusionkit_metrics.kid import kernel_distance


def features(count: int, dimensions: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Features as networks give them: none below 0."""
    return np.abs(np.random.default_rng(seed).normal(shift, 1, (count, dimensions)))


def cubic_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate of the squared discrepancy (arXiv 1801.01401, eq. 4), term by term."""
    (n, d), m = x.shape, len(y)
    k = lambda a, b: (float(a @ b) / d + 1) ** 3  # noqa: E731
    within_x = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_x + within_y - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def library_fid(some: np.ndarray, others: np.ndarray) -> float:
    statistics = [fid_features_to_statistics(torch.from_numpy(each)) for each in (some, others)]
    return float(fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"])


def test_a_set_has_no_distance_from_itself() -> None:
    some = features(300, 24, 0)
    assert frechet_distance(some, some) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(some, some[::-1].copy()) == pytest.approx(0, abs=1e-6)


def test_a_shifted_gaussian_is_as_far_as_its_mean_moved() -> None:
    mixed = np.random.default_rng(3).normal(size=(5, 5))
    covariance = mixed @ mixed.T + np.eye(5)
    shift = np.array([3.0, -1.0, 0.0, 2.0, 0.5])
    some, others = (exactly(mean, covariance, 60, seed) for seed, mean in enumerate((np.zeros(5), shift)))
    assert frechet_distance(some, others) == pytest.approx(float(shift @ shift), abs=1e-6)


def test_a_stretched_gaussian_is_as_far_as_its_deviations_moved() -> None:
    mean, some, others = np.ones(3), np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0])
    found = frechet_distance(exactly(mean, some, 50, 0), exactly(mean, others, 70, 1))
    assert found == pytest.approx((1 - 2) ** 2 + (2 - 2) ** 2 + (3 - 1) ** 2, abs=1e-6)


@pytest.mark.parametrize("count", [40, 300], ids=["fewer-crops-than-dimensions", "more-crops-than-dimensions"])
def test_fid_is_the_librarys(count: int) -> None:
    some, others = features(count, 128, 0), features(count + 7, 128, 1, shift=0.4)
    assert frechet_distance(some, others) == pytest.approx(library_fid(some, others), rel=1e-6, abs=1e-4)


def test_few_crops_are_looked_at_in_the_space_that_they_span() -> None:
    some, others = features(5, 64, 0), features(7, 64, 1)
    narrow = in_their_span(some, others)
    assert [each.shape for each in narrow] == [(5, 12), (7, 12)]
    assert narrow[0] @ narrow[1].T == pytest.approx(some @ others.T)


def test_kid_is_the_formula_and_the_librarys() -> None:
    some, others = features(30, 12, 0), features(30, 12, 1, shift=0.7)
    expected = cubic_mmd(some, others)
    assert expected > 0.01
    assert kernel_distance(some, others) == pytest.approx(expected, rel=1e-9)
    given = [torch.from_numpy(each) for each in (some, others)]
    library = kid_features_to_metric(*given, kid_subsets=1, kid_subset_size=30, verbose=False)
    assert kernel_distance(some, others) == pytest.approx(library["kernel_inception_distance_mean"], abs=1e-4)


def test_kid_of_one_distribution_is_near_0_and_of_two_is_not() -> None:
    some, others, shifted = features(400, 16, 0), features(500, 16, 1), features(400, 16, 2, shift=0.5)
    alike = kernel_distance(some, others, subset_size=200)
    assert abs(alike) < 0.005
    assert kernel_distance(some, shifted, subset_size=200) > 20 * abs(alike)


def test_kid_is_the_mean_over_subsets_and_the_same_each_time() -> None:
    some, others = features(50, 8, 0), features(60, 8, 1)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    found = kernel_distance(some, others, subsets=200, subset_size=25)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left as it was"
    torch.manual_seed(6)
    assert kernel_distance(some, others, subsets=200, subset_size=25) == found
    assert kernel_distance(some, others, subsets=1, subset_size=25) != found
    assert found == pytest.approx(cubic_mmd(some, others), abs=0.02)


def test_both_take_all_crops_of_all_pictures(tmp_path: Path) -> None:
    ours = [picture_of(noise(8, 24, seed), tmp_path / f"{seed}.png", crop=(8, 8)) for seed in range(4)]
    theirs = [picture_of(noise(16, 16, 9 + seed, 90, 200), tmp_path / f"r{seed}.png", crop=(8, 8)) for seed in range(3)]
    look = tools(MeanColour())
    described, reference = ([FID().describe(each, look) for each in side] for side in (ours, theirs))
    assert [each.shape for each in described] == [(3, 3)] * 4
    assert FID().score(described, reference) == pytest.approx(
        library_fid(np.concatenate(described), np.concatenate(reference)), abs=1e-4
    )
    assert np.isfinite(KID(subsets=3, subset_size=4).score(described, reference))


def test_too_few_crops_are_said_with_their_number(tmp_path: Path) -> None:
    look = tools(MeanColour())
    one = [picture_of(noise(8, 8), tmp_path / "a.png", crop=(8, 8))]
    many = [picture_of(noise(8, 64, 1), tmp_path / "b.png", crop=(8, 8))]
    line = "needs at least 2 crops; there are 1, and 8 of the reference"
    assert FID().problems(one, many, look) == [line]
    assert KID().problems(one, many, look) == [line]
    assert KID(subset_size=100).problems(many, many, look) == [
        "subset-size 100 needs as many crops; there are 8, and 8 of the reference; make it at most 8, or leave it out"
    ]
    for metric in (FID(), KID(), KID(subset_size=8)):
        assert metric.problems(many, many, look) == []


@pytest.mark.parametrize("metric", [FID, KID])
def test_crops_at_every_offset_see_what_crops_side_by_side_miss(metric: type[FID | KID], tmp_path: Path) -> None:
    # The reference's pictures are of one colour each. So are these, as long as none is looked at across a border.
    grey = [np.full((16, 16, 3), value, np.uint8) for value in range(60, 140, 8)]
    reference = [picture_of(each, tmp_path / f"r{n}.png", crop=(16, 16)) for n, each in enumerate(grey)]
    halves = [np.concatenate([each, each + np.uint8(100)], axis=1) for each in grey]
    even = [np.concatenate([each, each], axis=1) for each in grey]

    def score(step: int | None, pixels: list[np.ndarray]) -> float:
        chosen = metric(crop_step=step)
        pictures = [picture_of(each, tmp_path / f"{n}.png", crop=(16, 16)) for n, each in enumerate(pixels)]
        network = tools(LeftAndRight())
        assert chosen.problems(pictures, reference, network) == []
        described = ([chosen.describe(each, network) for each in side] for side in (pictures, reference))
        return chosen.score(*described)

    assert score(8, even) == pytest.approx(score(None, even), abs=1e-3)
    assert score(8, halves) > score(None, halves) + 100


class LeftAndRight(MeanColour):
    """How much brighter a crop is on the right than on the left, and a little of how bright it is."""

    name = "left-and-right"

    def pooled(self, crops: np.ndarray) -> np.ndarray:
        left, right = (half.mean((1, 2, 3), dtype=np.float64) for half in np.split(crops, 2, axis=2))
        return np.stack([right - left, (left + right) / 1000], axis=1)
