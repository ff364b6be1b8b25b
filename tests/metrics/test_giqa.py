"""GIQA by nearest neighbours: a case by hand, copies, K, and the two directions."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from pydantic import ValidationError

from fusionkit_metrics import GIQADiversity, GIQAQuality
from fusionkit_metrics.giqa import nearness, usual_k

OURS = np.array([[0.0, 0.0], [4.0, 0.0]])
THEIRS = np.array([[1.0, 1.0], [4.0, 1.0], [0.0, 4.0]])
# By L1: from (0, 0) it is 2, 5 and 4; from (4, 0) it is 4, 1 and 8.


@pytest.mark.parametrize(
    ("k", "quality", "diversity"),
    [
        (1, (1 / 2 + 1 / 1) / 2, (1 / 2 + 1 / 1 + 1 / 4) / 3),
        (2, ((1 / 2 + 1 / 4) / 2 + (1 / 1 + 1 / 4) / 2) / 2, ((1 / 2 + 1 / 4) + (1 / 5 + 1) + (1 / 4 + 1 / 8)) / 6),
        (99, ((1 / 2 + 1 / 4 + 1 / 5) + (1 / 1 + 1 / 4 + 1 / 8)) / 6, None),
    ],
    ids=["nearest", "two-nearest", "all"],
)
def test_a_case_by_hand(k: int, quality: float, diversity: float | None) -> None:
    assert GIQAQuality(k=k).score([OURS[:1], OURS[1:]], [THEIRS]) == pytest.approx(quality)
    # With all neighbours both directions are the mean over all pairs.
    assert GIQADiversity(k=k).score([OURS[:1], OURS[1:]], [THEIRS]) == pytest.approx(diversity or quality)


def test_copies_are_passed_over() -> None:
    among = np.array([[0.0], [0.0], [2.0], [5.0]])
    assert nearness(np.array([[0.0]]), among, k=1) == pytest.approx(1 / 2)
    assert nearness(np.array([[0.0]]), among, k=2) == pytest.approx((1 / 2 + 1 / 5) / 2)
    assert nearness(np.array([[1.0], [0.0]]), among, k=1) == pytest.approx((1 / 1 + 1 / 2) / 2)
    assert isnan(nearness(np.zeros((1, 1)), np.zeros((3, 1))))


def test_a_fifth_of_the_crops_count_as_neighbours() -> None:
    among = np.arange(1.0, 11.0)[:, None]
    assert nearness(np.zeros((1, 1)), among) == pytest.approx((1 / 1 + 1 / 2) / 2)
    assert nearness(np.zeros((1, 1)), among[:3]) == pytest.approx(1.0)
    assert [usual_k(count) for count in (1, 10, 17_500)] == [1, 2, 3500]


def test_what_the_set_leaves_out_costs_diversity_and_not_quality() -> None:
    rng = np.random.default_rng(0)
    reference = np.concatenate([rng.normal(0, 1, (40, 4)), rng.normal(20, 1, (40, 4))])
    both, half = np.concatenate([rng.normal(0, 1, (20, 4)), rng.normal(20, 1, (20, 4))]), rng.normal(0, 1, (40, 4))
    quality = [GIQAQuality(k=5).score([each], [reference]) for each in (both, half)]
    diversity = [GIQADiversity(k=5).score([each], [reference]) for each in (both, half)]
    assert quality[1] == pytest.approx(quality[0], rel=0.1)
    assert diversity[1] < 0.7 * diversity[0]


def test_k_is_at_least_1() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        GIQAQuality(k=0)
