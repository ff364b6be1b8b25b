"""Elastic diffusion: what its windows see, where its small picture comes from; and steps that are taken again."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from fusionkit import Plugin, Stage, Step, hookimpl
from fusionkit.errors import PluginError, RecipeError
from fusionkit.loop.denoise import ask_views
from fusionkit.runs.plan import RunPlan
from fusionkit.testing import tiny_controlnet, tiny_model, tiny_plan, tiny_run
from fusionkit_accdiffusion import ControlNet
from fusionkit_elasticdiffusion import ElasticDiffusion
from fusionkit_elasticdiffusion.padding import Frame
from fusionkit_elasticdiffusion.windows import candidates, local_windows, nearest, spans


class Twice(Plugin):
    """Takes each step but the last twice, and tells of each."""

    seen: Any
    times: Any = 2

    @hookimpl
    def rounds(self, at: Step) -> int:
        return 1 if at.is_last else self.times

    @hookimpl(wrapper=True)
    def noised_back(self, stage: Stage, at: Step, latents: Tensor) -> Any:
        noised = yield
        self.seen.append((at.index, at.round, float(latents.std()), float(noised.std())))
        return noised


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++-2m", "euler-a"])
def test_a_step_is_taken_again_from_where_it_began(scheduler: str) -> None:
    seen: list[Any] = []
    twice = tiny_run([Twice(seen=seen)], size=(96, 64), steps=3, scheduler=scheduler)
    assert [each[:2] for each in seen] == [(0, 1), (1, 1)]
    assert twice.isfinite().all()
    once = tiny_run([], size=(96, 64), steps=3, scheduler=scheduler)
    assert tiny_run([Twice(seen=[], times=1)], size=(96, 64), steps=3, scheduler=scheduler).equal(once)
    assert not twice.equal(once)


def test_noise_goes_back_as_far_as_the_step_went() -> None:
    plan = tiny_plan([], size=(512, 512), steps=5)
    stage = plan.stages[0]
    stage.model = tiny_model()
    later, at = stage.steps[2], stage.steps[1]
    clean, noise = torch.zeros(stage.shape), stage.noise("test")
    noised = plan.hooks.ask(
        "noised_back", stage=stage, at=at, latents=stage.scheduler.add_noise(clean, noise, later.timestep)
    )
    expected = stage.scheduler.add_noise(clean, noise, at.timestep)
    assert float(noised.std()) == pytest.approx(float(expected.std()), rel=0.02)


def test_rounds_that_are_no_number_are_named() -> None:
    with pytest.raises(PluginError, match=r"rounds.* 0; expected a whole number from 1.*twice"):
        tiny_plan([Twice(seen=[], times=0)])


def test_a_window_sees_its_whole_surroundings_at_edges_too() -> None:
    assert spans(16, 16) == [(0, 16, 0, 16)]
    assert spans(32, 16) == [(0, 8, 0, 16), (8, 16, 4, 20), (16, 24, 12, 28), (24, 32, 16, 32)]
    assert spans(21, 16) == [(0, 8, 0, 16), (8, 16, 4, 20), (13, 21, 5, 21)]
    assert spans(20, 16, ring=True)[0] == (0, 8, -4, 12)


@pytest.mark.parametrize("canvas", [(16, 16), (9, 40), (33, 21), (64, 17)])
@pytest.mark.parametrize("wrap", ["", "x", "xy"])
def test_each_pixel_is_in_one_window(canvas: tuple[int, int], wrap: Any) -> None:
    views, weights = local_windows(canvas, (16, 16), wrap)
    assert float(weights.sum()) == canvas[0] * canvas[1]
    assert {(view.height, view.width) for view in views} == {(min(16, canvas[0]), min(16, canvas[1]))}


@pytest.mark.parametrize(
    ("length", "low"), [(32, 16), (24, 16), (48, 32), (40, 16), (17, 16), (16, 16), (128, 32), (7, 5)]
)
def test_candidates_lie_on_the_canvas_in_order(length: int, low: int) -> None:
    found = candidates(length, low)
    assert len(found) == low
    flat = [place for pair in found for place in pair]
    assert flat == sorted(flat)
    assert 0 <= flat[0] <= flat[-1] < length
    if length == 2 * low:
        assert found == [(2 * place, 2 * place + 1) for place in range(low)]


def test_nearest_is_by_whole_numbers() -> None:
    line = torch.arange(21.0)[None, None, None]
    assert nearest(line, (1, 32)).flatten().tolist() == [place * 21 // 32 for place in range(32)]


def test_choices_are_new_ones_while_there_are_some() -> None:
    plugin = ElasticDiffusion(resampling=3, new_pixels=1)
    stage = tiny_plan([plugin]).stages[0]
    passes = plugin.choices(stage, stage.steps[0], (8, 8))
    assert not passes[0].any()
    assert torch.stack(passes).sort(0).values.equal(torch.arange(4).reshape(4, 1, 1).expand(4, 8, 8))
    few = ElasticDiffusion(resampling=40, new_pixels=0.25).choices(stage, stage.steps[0], (8, 8))
    changed = [float((one != other).float().mean()) for one, other in pairwise(few)]
    # Once a place has had all four, a new choice is the old one in a quarter of the cases.
    assert 0.15 < sum(changed) / len(changed) < 0.3


def test_a_frame_stands_around_and_is_taken_off_again() -> None:
    stage = tiny_plan([plugin := ElasticDiffusion()]).stages[0]
    stage.model = tiny_model()
    latents = stage.noise("test", (2, 4, 5, 3))
    frame = Frame(plugin, stage, stage.steps[0], (5, 3), (8, 8))
    whole = frame.around(latents)
    assert whole.shape == (2, 4, 8, 8)
    assert whole[..., 1:6, 2:5].equal(latents)
    assert frame.inside(whole).equal(latents)
    assert frame.around(latents).equal(whole)
    other = Frame(plugin, stage, stage.steps[1], (5, 3), (8, 8)).around(latents)
    assert not other[..., 0, :].equal(whole[..., 0, :])


def test_the_small_picture_fits_into_the_window() -> None:
    sizes = {
        (64, 64): (8, 8),
        (128, 64): (4, 8),
        (96, 64): (5, 8),
        (64, 192): (8, 2),
        (48, 32): (4, 6),
        (200, 120): (4, 8),
    }
    for size, small in sizes.items():
        plugin = ElasticDiffusion()
        assert plugin.small_size(tiny_plan([plugin], size=size).stages[0]) == small


def test_the_weight_of_the_small_picture_falls_and_ends() -> None:
    at = [Step(index, 10, torch.tensor(0)) for index in range(10)]
    weights = [ElasticDiffusion(reduced_exponent=1).reduced_weight_at(each) for each in at]
    assert weights[0] == 1000
    assert weights[4] == pytest.approx(500)
    assert weights[8:] == [0, 0]


def test_two_groups_of_which_one_weighs_nothing_and_the_rounds_of_each_step() -> None:
    plan = tiny_plan([ElasticDiffusion(resampling=2)], size=(128, 64), steps=3)
    stage = plan.stages[0]
    windows, whole = ask_views(stage, stage.steps[0], plan.hooks)
    assert (windows.kind, whole.kind, whole.share) == ("window", "direction", 0)
    # 3 steps of 4 windows and 3 passes of two, and 2 that are taken again with one pass.
    assert plan.forward_passes == 3 * (4 + 6) + 2 * (4 + 2)


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
@pytest.mark.parametrize("scheduler", ["euler-a", "dpm++-2m"])
def test_other_schedulers_draw(kind: Any, scheduler: str) -> None:
    fields: dict[str, Any] = {"size": (120, 72), "steps": 3, "scheduler": scheduler}
    drawn = tiny_run([ElasticDiffusion(resampling=1)], kind, **fields)
    assert drawn.isfinite().all()
    alone = tiny_run([ElasticDiffusion(resampling=1)], kind, batch_size=1, **fields)
    assert float((drawn - alone).abs().max()) < 1e-5 * float(drawn.abs().max())


def test_a_controlnet_that_would_be_ignored_is_refused_before_anything_loads(tmp_path: Path) -> None:
    tiny_controlnet("sd").save_pretrained(tmp_path / "net")
    Image.new("RGB", (128, 128)).save(tmp_path / "a.png")

    def plan(scale: float) -> RunPlan:
        net: dict[str, Any] = {"model": str(tmp_path / "net"), "annotator": "none", "from_": tmp_path / "a.png"}
        return tiny_plan([ElasticDiffusion(), ControlNet(**net, scale=scale)], size=(128, 128), steps=2)

    with pytest.raises(RecipeError) as raised:
        plan(0.5)
    assert raised.value.problems == [
        "elastic-diffusion: 'controlnet' can't steer what it draws: it passes nothing on to its windows and its small "
        "picture, whose pixels lie elsewhere than on the canvas; leave out one of both"
    ]
    assert plan(0.0).forward_passes > 0
