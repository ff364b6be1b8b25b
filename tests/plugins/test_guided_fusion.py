"""Guided Fusion: the map, and whom it weighs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from fusionkit import Patches, Plugin, hookimpl
from fusionkit.testing import tiny_plan
from fusionkit_gvcf import GuidedFusion
from fusionkit_gvcf.guided_fusion import guidance_map

SHAPES = [(1, 1), (1, 9), (2, 2), (8, 8), (7, 7), (16, 64), (64, 16), (5, 40), (64, 64)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_map_is_1_at_the_centre_positive_and_symmetrical(shape: tuple[int, int]) -> None:
    weights = guidance_map(*shape)
    assert weights.shape == (1, 1, *shape)
    assert weights.dtype == torch.float32
    assert float(weights.max()) == 1
    assert float(weights.min()) > 0
    assert weights.equal(weights.flip(2))
    assert weights.equal(weights.flip(3))
    assert weights.transpose(2, 3).equal(guidance_map(*reversed(shape)))
    centre = weights[0, 0, (shape[0] - 1) // 2, (shape[1] - 1) // 2]
    corners = weights[0, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert float(centre) == 1
    assert bool((corners == weights.min()).all())


def test_the_map_falls_linearly_to_the_corners() -> None:
    diagonal = guidance_map(65, 65)[0, 0].diagonal()[:33]
    steps = diagonal.diff()
    assert float((steps - steps.mean()).abs().max()) < 1e-6
    # 1 / n in the corner of an n x n window, as for an edge row halfway to it: 1 - 1 / sqrt(2).
    assert float(diagonal[0]) == pytest.approx(1 / 65, abs=1e-6)
    assert float(guidance_map(65, 65)[0, 0, 0, 32]) == pytest.approx(1 - 64 / 65 / 2**0.5, abs=1e-6)


def test_corners_of_any_shape_are_alike() -> None:
    for height, width in [(64, 64), (64, 128), (16, 64), (64, 16)]:
        corner = float(guidance_map(height, width)[0, 0, 0, 0])
        assert corner == pytest.approx((1 / height + 1 / width) / 2, rel=0.1)


def test_the_map_is_one_object_for_each_shape() -> None:
    assert guidance_map(8, 8) is guidance_map(8, 8)
    assert not guidance_map(8, 8).is_inference()


class Groups(Plugin):
    @hookimpl(wrapper=True)
    def views(self) -> Any:
        (windows,) = yield
        weights = torch.full((1, 1, 8, 8), 0.5)
        return [windows, replace(windows, kind="dilated"), replace(windows, weights=weights)]


def test_windows_are_weighed_and_other_groups_are_left_alone() -> None:
    plan = tiny_plan([Groups(), GuidedFusion()])
    plain, dilated, weighed = plan.hooks.ask("views", stage=plan.stages[0], at=plan.stages[0].steps[0])
    assert isinstance(plain, Patches)
    assert plain.weights is guidance_map(8, 8)
    assert dilated.weights is None
    assert weighed.weights.equal(guidance_map(8, 8) / 2)
