"""Keyed noise: pinned values, and what a draw depends on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from rounding import rounding

from fusionkit import StagePlan
from fusionkit.loop.noise import generator, keyed_noise
from fusionkit.models.schedulers.wrapper import DiffusersScheduler
from fusionkit.testing import tiny_plan, tiny_run

PINNED = [-0.404646, 0.786198, 0.4592, 0.449278]
PINNED_INTEGERS = [0, 3, -2, -3, 0, 1]


def test_values_are_pinned() -> None:
    # A picture must stay the same from version to version: these numbers are part of the interface.
    noise = keyed_noise(7, 0, -1, "init", shape=(1, 4, 3, 5))
    assert noise.dtype == torch.float32
    assert noise.flatten()[:4].tolist() == pytest.approx(PINNED, abs=rounding(4.0))
    stage = tiny_plan(seed=7).stages[0]
    assert stage.noise("init", (1, 4, 3, 5)).equal(noise)
    assert stage.integers("jitter", 6, -3, 3, at=stage.steps[1]) == PINNED_INTEGERS


def test_a_draw_does_not_depend_on_the_draws_before_it() -> None:
    stage = tiny_plan().stages[0]
    alone = stage.noise("b", at=stage.steps[0])
    stage.noise("a")
    stage.integers("a", 10, 0, 9)
    torch.rand(3)
    assert stage.noise("b", at=stage.steps[0]).equal(alone)


def test_a_draw_leaves_the_global_generator_alone() -> None:
    state = torch.random.get_rng_state()
    keyed_noise(0, "x", shape=(8,))
    tiny_plan().stages[0].integers("x", 3, 0, 9)
    assert torch.random.get_rng_state().equal(state)


def test_purpose_step_stage_and_seed_each_make_another_draw() -> None:
    stage = tiny_plan().stages[0]
    next_stage = replace(stage, index=1, plan=StagePlan(stage.plan.size))
    other_seed = replace(stage, recipe=stage.recipe.model_copy(update={"seed": 1}))
    draws = [
        stage.noise("a"),
        stage.noise("b"),
        stage.noise("a", at=stage.steps[0]),
        stage.noise("a", at=stage.steps[1]),
        next_stage.noise("a"),
        other_seed.noise("a"),
    ]
    for number, one in enumerate(draws):
        for other in draws[:number]:
            correlation = (one * other).mean() / (one.std() * other.std())
            assert abs(float(correlation)) < 0.15


def test_keys_do_not_run_into_each_other() -> None:
    assert generator(1, "a", 1).initial_seed() != generator(1, "a1").initial_seed()
    assert generator(1, 1, "a").initial_seed() != generator(11, "a").initial_seed()
    assert 0 <= generator(2**63 - 1, "x").initial_seed() < 2**63


def test_noise_is_standard_normal() -> None:
    noise = keyed_noise(0, "normal", shape=(200_000,))
    assert abs(float(noise.mean())) < 0.01
    assert abs(float(noise.var()) - 1) < 0.01


@pytest.mark.parametrize(("scheduler", "drawn"), [("ddim", 0), ("dpm++-2m", 0), ("ddpm", 3), ("euler-a", 3)])
def test_noise_of_steps_is_drawn_for_schedulers_alone_that_take_some(
    scheduler: str, drawn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def watched(seed: int, *key: str | int, **options: Any) -> torch.Tensor:
        asked.append(key[-1])
        return keyed_noise(seed, *key, **options)

    monkeypatch.setattr("fusionkit.loop.stage.keyed_noise", watched)
    found = tiny_run([], scheduler=scheduler, steps=3)
    assert asked == ["init"] + ["step"] * drawn
    # What a deterministic scheduler is given in its place is looked at by nobody.
    monkeypatch.setattr(DiffusersScheduler, "stochastic", True)
    assert tiny_run([], scheduler=scheduler, steps=3).equal(found)
    assert asked[-4:] == ["init"] + ["step"] * 3
