"""Variance-Corrected Fusion: the factor of equations 13 and 14, for any weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from rounding import rounding

from fusionkit import Plugin, RecipeError, Stage, View, hookimpl
from fusionkit.loop.stage import Patches
from fusionkit.testing import tiny_plan
from fusionkit_gvcf import GuidedFusion, VarianceCorrectedFusion
from fusionkit_multidiffusion import MultiDiffusion


class Given(Plugin):
    """Three views of one pixel row, with weights and noise of the test's choice."""

    weights: Any
    noise: Any

    @hookimpl
    def views(self, stage: Stage) -> list[Patches]:
        return [Patches((View(0, 0, 1, 2),) * 3, weights=self.weights, noise=self.noise)]


def test_the_noise_is_the_weighted_sum_over_the_root_of_the_squares() -> None:
    weights = torch.tensor([[1.0, 1], [2, 1], [5, 0]]).reshape(3, 1, 1, 2)
    noise = torch.arange(24.0).reshape(3, 4, 1, 2)
    plan = tiny_plan([Given(weights=weights, noise=noise), VarianceCorrectedFusion()], size=(16, 8))
    stage, at = plan.stages[0], plan.stages[0].steps[0]
    groups = plan.hooks.ask("views", stage=stage, at=at)
    groups[0].prediction = torch.zeros(3, 4, 1, 2)
    fused = plan.hooks.ask("fuse", stage=stage, at=at, groups=groups)
    expected = (weights * noise).sum(0) / weights.square().sum(0).sqrt()
    assert float((fused.noise[0] - expected).abs().max()) < rounding(expected)
    assert not fused.prediction.any()


def test_weights_that_are_scaled_change_nothing() -> None:
    noise = torch.randn(3, 4, 1, 2, generator=torch.Generator().manual_seed(0))
    found = []
    for scale in (1.0, 1e-6, 1e6):
        weights = torch.tensor([1.0, 2, 5]).reshape(3, 1, 1, 1) * scale
        plan = tiny_plan([Given(weights=weights, noise=noise), VarianceCorrectedFusion()], size=(16, 8))
        groups = plan.hooks.ask("views", stage=plan.stages[0], at=plan.stages[0].steps[0])
        groups[0].prediction = torch.zeros(3, 4, 1, 2)
        found.append(plan.hooks.ask("fuse", stage=plan.stages[0], at=plan.stages[0].steps[0], groups=groups).noise)
    assert all(float((each - found[0]).abs().max()) < rounding(found[0]) for each in found)


def test_two_steps_have_two_noises() -> None:
    plan = tiny_plan([MultiDiffusion(), GuidedFusion(), VarianceCorrectedFusion()])
    stage, noises = plan.stages[0], []
    for at in stage.steps[:2]:
        groups = plan.hooks.ask("views", stage=stage, at=at)
        groups[0].prediction = torch.zeros(len(groups[0].views), 4, 8, 8)
        noises.append(plan.hooks.ask("fuse", stage=stage, at=at, groups=groups).noise)
    assert abs(float((noises[0] * noises[1]).mean())) < 0.15


def test_ddim_is_refused_but_with_eta_it_draws_noise() -> None:
    with pytest.raises(
        RecipeError, match=r"^variance-corrected-fusion: DDIMScheduler draws no noise, .* use .* ddpm, .* or leave"
    ):
        tiny_plan([VarianceCorrectedFusion()], scheduler="ddim")
    assert tiny_plan([VarianceCorrectedFusion()], scheduler={"ddim": {"eta": 0.5}}).steps == 3
