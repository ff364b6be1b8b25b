"""A canvas in files: the run is the one in memory, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionkit import Recipe
from fusionkit.loop.canvas import WeightedMean, gather
from fusionkit.loop.in_strips import InStrips
from fusionkit.loop.noise import keyed_noise
from fusionkit.loop.room import IN_MEMORY, Room
from fusionkit.loop.stage import Patches
from fusionkit.loop.views import View
from fusionkit.models.schedulers.make import make_scheduler
from fusionkit.recipe import SchedulerSpec
from fusionkit.runs.run import execute, prepare
from fusionkit.testing import tiny_model


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++-2m", "euler-a", "unipc", "dpm++-2m-sde", "lms", "pndm", "heun"])
def test_steps_taken_in_strips_are_the_steps(scheduler: str, tmp_path: Path) -> None:
    info = tiny_model().info
    spec = SchedulerSpec(name=scheduler, options={})
    shape = (1, 4, 13, 24)
    found = []
    for strips in (False, True):
        made: Any = make_scheduler(info, spec, 6, "cpu")
        assert made.is_local
        own: Any = InStrips(made, Room(tmp_path, least=0), strip=4 * 24 * 5) if strips else made
        latents = keyed_noise(1, "start", shape=shape) * own.init_noise_sigma
        answers = []
        for index, timestep in enumerate(own.timesteps):
            views = torch.cat([own.scale_model_input(latents, timestep)] * 2)
            if index == 3:
                # What a checkpoint keeps, and puts back.
                state = own.state()
                own.restore(dict(state))
            prediction = (views[:1] * 0.3).tanh() + 0.1 * keyed_noise(2, index, shape=shape)
            latents, clean = own.step(prediction, timestep, latents, keyed_noise(3, index, shape=shape))
            answers += [latents, clean if clean is not None else latents]
        found.append((answers, own.state()))
    (plain, state), (in_strips, other) = found
    assert all(a.equal(b) for a, b in zip(plain, in_strips, strict=True))
    assert state.keys() == other.keys()


def test_what_looks_at_all_pixels_is_not_cut() -> None:
    info = tiny_model().info
    spec = SchedulerSpec(name="ddim", options={"thresholding": True})
    assert not make_scheduler(info, spec, 4, "cpu").is_local  # type: ignore[attr-defined]


@pytest.mark.parametrize("change", [lambda tensor: tensor, lambda tensor: tensor[..., :7]])
def test_rooms_hold_the_same_numbers(change: Callable[[Any], Any], tmp_path: Path) -> None:
    room = Room(tmp_path, least=0)
    shape = (1, 3, 9, 17)
    drawn, kept = keyed_noise(5, "a", shape=shape), keyed_noise(5, "a", shape=shape, room=room)
    assert kept.equal(drawn)
    views = [View(0, 0, 4, 6), View(5, 9, 4, 6), View(-1, 14, 4, 6)]
    assert gather(kept, views, room).equal(gather(drawn, views))
    assert room.copy(change(kept)).equal(change(drawn))
    assert room.copy(change(kept)).stride() == change(drawn).clone().stride()
    assert room.joined((part for part in drawn[0].split(2)), 3).equal(drawn[0])
    assert list(tmp_path.iterdir()) == []


def test_a_mean_is_fused_view_by_view(tmp_path: Path) -> None:
    weights = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0)) + 0.1
    groups = [
        Patches([View(0, 0, 6, 6), View(0, 4, 6, 6)], weights=weights),
        Patches([View(0, 2, 6, 6)], share=0.25),
    ]
    values = [keyed_noise(0, 1, shape=(2, 4, 6, 6)), keyed_noise(0, 2, shape=(1, 4, 6, 6))]
    like = torch.zeros(1, 4, 6, 10)
    mean = WeightedMean(groups, like, Room(tmp_path, least=0))
    assert mean(values).equal(WeightedMean(groups, like)(values))
    assert torch.allclose(sum_of(mean, groups, like), torch.ones(1, 1, 6, 10))
    # Equation: the norm is that of the effective weights.
    squares = [each.square() for each in mean.effective]
    assert torch.allclose(mean.norm().square(), scattered(squares, groups, like))


def sum_of(mean: WeightedMean, groups: list[Patches], like: torch.Tensor) -> torch.Tensor:
    return scattered(mean.effective, groups, like)


def scattered(values: list[torch.Tensor], groups: list[Patches], like: torch.Tensor) -> torch.Tensor:
    whole = torch.zeros_like(like[:, :1])
    for value, patches in zip(values, groups, strict=True):
        for own, view in zip(value, patches.views, strict=True):
            whole[0, :, view.top : view.top + 6, view.left : view.left + 6] += own
    return whole


@pytest.mark.parametrize("scheduler", ["dpm++-2m", "euler-a"])
def test_a_run_in_files_is_the_run_in_memory(scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionkit.runs.room.Room", lambda folder: Room(folder, least=0))
    monkeypatch.setattr("fusionkit.loop.in_strips.InStrips.__init__.__defaults__", (100,))
    model = tiny_model()
    recipe = Recipe(
        prompt="a cat", size=(160, 72), steps=4, scheduler=scheduler, output=tmp_path / "a.tif", canvas="disk"
    )
    found = []
    for canvas in ("memory", "disk"):
        plan = prepare(recipe.model_copy(update={"canvas": canvas}), model.info)
        assert plan.stages[0].room == (IN_MEMORY if canvas == "memory" else Room(tmp_path, least=0))
        assert isinstance(plan.stages[0].scheduler, InStrips) == (canvas == "disk")
        found.append(execute(plan, model))
    assert found[0].equal(found[1])
