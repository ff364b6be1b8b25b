"""Gathering views, and their weighted mean."""

from __future__ import annotations

import pytest
import torch

from fusionkit import Patches, View, windows
from fusionkit.errors import CanvasError
from fusionkit.loop.canvas import WeightedMean, gather, scatter, view_noise
from fusionkit.loop.views import jittered, starts
from fusionkit.testing import tiny_plan


def test_starts_and_windows() -> None:
    assert starts(64, 16, 12) == [0, 12, 24, 36, 48]
    assert starts(17, 16, 16) == [0, 1]
    assert starts(16, 16, 5) == [0]
    assert starts(40, 16, 16) == [0, 16, 24]
    assert windows((8, 20), (8, 8), (6, 6)) == (View(0, 0, 8, 8), View(0, 6, 8, 8), View(0, 12, 8, 8))
    assert windows((4, 6), (8, 8), (8, 8)) == (View(0, 0, 4, 6),)
    with pytest.raises(CanvasError, match="at least 1"):
        windows((4, 6), (8, 8), (0, 8))
    with pytest.raises(CanvasError, match="larger than the window"):
        windows((4, 60), (8, 8), (8, 9))


def test_jitter_keeps_the_edges_and_draws_for_inner_windows_alone() -> None:
    views = windows((8, 24), (8, 8), (4, 4))
    draws = iter([2, -2, 1])
    moved = jittered(views, (8, 24), (2, 2), lambda low, high: next(draws))
    assert [view.left for view in views] == [0, 4, 8, 12, 16]
    assert [view.left for view in moved] == [0, 6, 6, 13, 16]
    assert all(view.top == 0 for view in moved)


def test_gather_and_scatter_are_each_others_transpose() -> None:
    canvas = torch.arange(2 * 6 * 7.0).reshape(1, 2, 6, 7)
    views = (View(0, 0, 3, 4), View(3, 3, 3, 4), View(1, 0, 3, 4, 1), View(0, 1, 2, 3, 2))
    for view in views:
        patch = gather(canvas, [view])
        expected = canvas[:, :, view.top :: view.dilation, view.left :: view.dilation][..., : view.height, : view.width]
        assert patch.equal(expected)
    counted = scatter(torch.ones(2, 1, 3, 4), views[:2], torch.zeros(1, 1, 6, 7))
    assert counted.sum() == 24
    assert scatter(gather(canvas, views[:2]), views[:2], torch.zeros_like(canvas)).equal(canvas * counted)


def test_crossing_jitter_moves_views_at_an_edge_outward_alone() -> None:
    views = windows((16, 24), (8, 8), (8, 8))
    asked: list[tuple[int, int]] = []

    def draw(low: int, high: int) -> int:
        asked.append((low, high))
        return high if high else low

    moved = jittered(views, (16, 24), (1, 2), draw, cross=True)
    assert [(view.top, view.left) for view in moved] == [(-1, -2), (-1, 10), (-1, 18), (9, -2), (9, 10), (9, 18)]
    # Columns before rows, for each view.
    assert asked[:4] == [(-2, 0), (-1, 0), (-2, 2), (-1, 0)]


@pytest.mark.parametrize(
    "view",
    [View(-2, 1, 4, 3), View(4, 5, 4, 4), View(-1, -1, 4, 4, 2), View(-3, -2, 20, 20), View(-1, -2, 4, 3, across=3)],
)
def test_a_view_over_the_border_sees_zeros_and_counts_for_nothing_there(view: View) -> None:
    canvas = torch.arange(1.0, 2 * 6 * 7 + 1).reshape(1, 2, 6, 7)
    pad = 30
    padded = torch.nn.functional.pad(canvas, (pad,) * 4)
    down, across = view.apart
    rows = torch.arange(view.height) * down + view.top + pad
    columns = torch.arange(view.width) * across + view.left + pad
    patch = gather(canvas, [view])
    assert patch.equal(padded[:, :, rows[:, None], columns])
    back = scatter(patch, [view], torch.zeros_like(canvas))
    seen = scatter(torch.ones(1, 1, view.height, view.width), [view], torch.zeros(1, 1, 6, 7))
    assert back.equal(canvas * seen)
    assert 0 < seen.sum() < view.height * view.width


def test_the_weighted_mean_of_one_group() -> None:
    views = (View(0, 0, 1, 3), View(0, 1, 1, 3))
    weights = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3)
    mean = WeightedMean([Patches(views, weights=weights)], torch.zeros(1, 1, 1, 4))
    fused = mean([torch.tensor([[1.0, 1, 1], [4, 4, 4]]).reshape(2, 1, 1, 3)])
    assert fused.flatten().tolist() == pytest.approx([1, (2 * 1 + 1 * 4) / 3, (3 * 1 + 2 * 4) / 5, 4])
    assert mean.norm().flatten().tolist() == pytest.approx([1, 5**0.5 / 3, 13**0.5 / 5, 1])


def test_the_shares_of_two_groups() -> None:
    whole, left = Patches((View(0, 0, 1, 2),), share=3), Patches((View(0, 0, 1, 1), View(0, 0, 1, 1)), share=1)
    mean = WeightedMean([whole, left], torch.zeros(1, 1, 1, 2))
    values = [torch.full((1, 1, 1, 2), 8.0), torch.tensor([0.0, 4]).reshape(2, 1, 1, 1)]
    # The left group's mean is 2, at a quarter; where it does not reach, the other counts alone.
    assert mean(values).flatten().tolist() == pytest.approx([0.75 * 8 + 0.25 * 2, 8])
    assert mean.coverage.flatten().tolist() == [4, 3]


def test_tiny_weights_do_not_lose_the_mean() -> None:
    views = (View(0, 0, 2, 2), View(0, 0, 2, 2))
    weights = torch.tensor([1e-30, 3e-30]).reshape(2, 1, 1, 1)
    mean = WeightedMean([Patches(views, weights=weights)], torch.zeros(1, 1, 2, 2))
    fused = mean([torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1).expand(2, 1, 2, 2)])
    assert fused.flatten().tolist() == pytest.approx([1.75] * 4)


def test_noise_of_the_views_is_the_groups_own_or_drawn_apart() -> None:
    stage = tiny_plan().stages[0]
    views = (View(0, 0, 2, 3), View(0, 3, 2, 3))
    own = torch.ones(2, 4, 2, 3)
    given, drawn, other = view_noise(stage, stage.steps[0], [Patches(views, noise=own), Patches(views), Patches(views)])
    assert given is own
    assert drawn.shape == (2, 4, 2, 3)
    assert not drawn.equal(other)
    assert not drawn[0].equal(drawn[1])
    assert not drawn.equal(view_noise(stage, stage.steps[1], [Patches(views), Patches(views)])[1])
