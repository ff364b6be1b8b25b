"""The maths of saliency-aware noise blending: saliency, smoothing, the softmax, winners."""

from __future__ import annotations

import pytest
import torch
from blending import normal

from fusionkit_magicfusion.saliency import blended, log_salience, saliency, smoothed, winners


def test_saliency_is_the_mean_response_to_guidance() -> None:
    cond, baseline = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8)
    cond[0, 0, 3, 4], baseline[0, 1, 3, 4], cond[0, 1, 0, 0] = -2.0, 1.0, 4.0
    found = saliency(cond, baseline, 1.5, smoothing=False)
    assert found.shape == (1, 8, 8)
    assert found[0, 3, 4] == 1.5 * (2 + 1) / 2
    assert found[0, 0, 0] == 1.5 * 4 / 2
    assert int((found > 0).sum()) == 2
    assert torch.allclose(saliency(cond, baseline, 1.5), smoothed(found[:, None])[:, 0])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (3, 16), (5, 8), (33, 12)])
def test_smoothing_keeps_any_size(size: tuple[int, int]) -> None:
    maps = normal(2, 3, *size).abs()
    smooth = smoothed(maps)
    assert smooth.shape == maps.shape
    assert bool((smooth >= 0).all())
    assert float(smooth.max()) <= float(maps.max())
    assert smoothed(2 * maps).allclose(2 * smooth)


def test_smoothing_is_a_mean_over_four_by_four_pixels() -> None:
    impulse = torch.zeros(1, 1, 16, 16)
    impulse[..., 8, 8] = 16
    smooth = smoothed(impulse)
    assert float(smooth.sum()) == pytest.approx(16, rel=0.15)
    assert float(smooth.max()) == pytest.approx(1.0)
    rows, columns = smooth[0, 0].nonzero().T
    assert {int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())} <= set(range(6, 12))
    flat = smoothed(torch.ones(1, 1, 16, 16))[0, 0]
    assert flat[4:12, 4:12].equal(torch.ones(8, 8))
    assert float(flat[0, 0]) == pytest.approx(9 / 16)


@pytest.mark.parametrize("k", [0.1, 1.0, 7.0])
def test_the_log_of_the_softmax_over_all_pixels_of_a_view(k: float) -> None:
    maps = normal(3, 7, 5).abs()
    softmax = (k * maps).flatten(1).softmax(1).view_as(maps)
    assert (log_salience(maps, k).exp() / 35).allclose(softmax, rtol=1e-5)
    assert log_salience(torch.full((1, 4, 4), 3.0), k).equal(torch.zeros(1, 4, 4))


def test_a_large_k_leaves_no_ties() -> None:
    one, two = 40 * normal(1, 32, 32).abs(), 40 * normal(1, 32, 32, seed=1).abs()
    plain = [(100 * maps).flatten(1).softmax(1).view_as(maps) for maps in (one, two)]
    ties = plain[0] == plain[1]
    assert float(ties.float().mean()) > 0.9, "a softmax in float32 tells nothing here"
    exact = [(100 * maps.double()).flatten(1).log_softmax(1).view_as(maps) for maps in (one, two)]
    assert winners([log_salience(one, 100), log_salience(two, 100)]).equal((exact[1] > exact[0]).long())


def test_small_differences_are_not_drowned() -> None:
    one, two = 1e-6 * normal(1, 64, 64).abs(), 1e-6 * normal(1, 64, 64, seed=1).abs()
    exact = [maps.double().flatten(1).log_softmax(1).view_as(maps) for maps in (one, two)]
    found = winners([log_salience(one, 1), log_salience(two, 1)])
    assert float((found == (exact[1] > exact[0])).float().mean()) > 0.9


def test_winners_and_what_they_predict() -> None:
    saliences = [torch.tensor([[[0.0, 3.0], [1.0, -1.0]]]), torch.tensor([[[1.0, 2.0], [1.0, 0.0]]])]
    winner = winners(saliences)
    assert winner.tolist() == [[[1, 0], [0, 1]]]
    one, two = normal(1, 4, 2, 2), normal(1, 4, 2, 2, seed=1)
    mixed = blended([one, two], winner)
    assert mixed[..., 0, 0].equal(two[..., 0, 0])
    assert mixed[..., 0, 1].equal(one[..., 0, 1])
    assert mixed[..., 1, 0].equal(one[..., 1, 0])
    assert mixed[..., 1, 1].equal(two[..., 1, 1])


# Whole runs
