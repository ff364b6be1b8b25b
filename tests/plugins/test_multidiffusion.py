"""MultiDiffusion: strides, jitter, and what is said of those that don't fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from fusionkit import Patches, Plugin, RecipeError, View, hookimpl
from fusionkit.loop.canvas import WeightedMean, view_noise
from fusionkit.loop.denoise import ask_views
from fusionkit.testing import tiny_plan, tiny_run
from fusionkit_gvcf import GuidedFusion, VarianceCorrectedFusion
from fusionkit_multidiffusion import MultiDiffusion, Ring
from fusionkit_spotdiffusion import ShiftedWindows


def views_of(plugin: MultiDiffusion, step: int = 0, **fields: Any) -> tuple[View, ...]:
    plan = tiny_plan([plugin], **fields)
    (patches,) = plan.hooks.ask("views", stage=plan.stages[0], at=plan.stages[0].steps[step])
    return patches.views


def test_the_default_stride_is_half_of_the_window_along_each_axis() -> None:
    views = views_of(MultiDiffusion(), size=(160, 48), window=(64, 32))
    assert sorted({view.left for view in views}) == [0, 4, 8, 12]
    assert sorted({view.top for view in views}) == [0, 2]
    assert {(view.height, view.width) for view in views} == {(4, 8)}


def test_a_stride_is_one_number_or_width_by_height() -> None:
    assert MultiDiffusion(stride=24).stride == MultiDiffusion(stride="24x24").stride == (24, 24)
    views = views_of(MultiDiffusion(stride="24x40"), size=(112, 104))
    assert sorted({view.left for view in views}) == [0, 3, 6]
    assert sorted({view.top for view in views}) == [0, 5]


@pytest.mark.parametrize(
    ("stride", "written"), [(24, 24), ("24x24", 24), ((24, 40), "24x40"), ("24 x 40", "24x40"), ([24, 40], "24x40")]
)
def test_a_stride_is_written_as_it_is_read(stride: Any, written: Any) -> None:
    assert MultiDiffusion(stride=stride).options() == {"stride": written}
    assert MultiDiffusion(stride=written).options() == {"stride": written}


@pytest.mark.parametrize("stride", [0, -8, True, 1.5, "wide", "8x", [8], {"x": 8}, "0x8"])
def test_what_is_no_stride_is_refused(stride: Any) -> None:
    with pytest.raises(ValidationError, match="stride"):
        MultiDiffusion(stride=stride)


def test_an_axis_with_one_window_has_no_use_for_the_stride() -> None:
    # The canvas is lower than the window: a stride that suits the width must not be refused for the height.
    assert [view[:4] for view in views_of(MultiDiffusion(stride=56), size=(128, 32))] == [
        (0, 0, 4, 8),
        (0, 7, 4, 8),
        (0, 8, 4, 8),
    ]


def test_later_strides_hold_from_a_share_of_the_steps_on() -> None:
    plugin, fields = MultiDiffusion(stride=16, later={0.3: 64, 0.8: "32x32"}), {"size": (256, 64), "steps": 10}
    counts = [len(views_of(plugin, step, **fields)) for step in range(10)]
    assert counts == [13] * 3 + [4] * 5 + [7] * 2
    assert tiny_plan([plugin], **fields).forward_passes == 2 * sum(counts)
    # Half of the window is a beginning, too.
    assert [len(views_of(MultiDiffusion(later={0.5: 64}), step, **fields)) for step in (4, 5)] == [7, 4]


def test_later_strides_are_written_as_they_are_read_and_draw_what_they_say() -> None:
    assert MultiDiffusion(later={0.3: 64}).options() == {"later": {"0.3": 64}}
    assert MultiDiffusion(later={"0.3": 64}).later == {0.3: (64, 64)}
    fields: dict[str, Any] = {"size": (128, 64), "steps": 4}
    assert tiny_run([MultiDiffusion(stride=64, later={0.5: 64})], **fields).equal(
        tiny_run([MultiDiffusion(stride=64)], **fields)
    )
    mixed = tiny_run([MultiDiffusion(stride=32, later={0.5: 64})], **fields)
    assert not any(mixed.equal(tiny_run([MultiDiffusion(stride=stride)], **fields)) for stride in (32, 64))


def test_later_strides_that_do_not_fit_are_told_like_the_first() -> None:
    for wrong in (0, 1, 1.5, -0.3, True, "x", "nan"):
        with pytest.raises(ValidationError, match="later"):
            MultiDiffusion(later={wrong: 64})
    with pytest.raises(ValidationError, match=r"later.*0.3|a stride is"):
        MultiDiffusion(later={0.3: "wide"})
    with pytest.raises(RecipeError) as error:
        tiny_plan([MultiDiffusion(stride=36, later={0.3: 72, 0.6: 44})])
    assert [line.split(" ")[:3] for line in error.value.problems] == [
        ["multidiffusion:", "stride", "36"],
        ["multidiffusion:", "stride", "72"],
        ["multidiffusion:", "stride", "44"],
    ]


def test_jitter_is_as_large_as_the_overlap_of_the_moment_allows() -> None:
    fields: dict[str, Any] = {"size": (256, 64), "steps": 4}
    plugin = MultiDiffusion(stride=32, later={0.5: 64}, jitter=16)
    assert views_of(plugin, 1, **fields) == views_of(MultiDiffusion(stride=32, jitter=16), 1, **fields)
    assert views_of(plugin, 2, **fields) == views_of(MultiDiffusion(stride=64), 2, **fields)
    with pytest.raises(RecipeError, match=r"jitter 24 is more than half .* use at most 16"):
        tiny_plan([MultiDiffusion(stride=64, later={0.5: 32}, jitter=24)], **fields)


def test_jitter_moves_inner_windows_anew_at_each_step_and_keeps_the_edges() -> None:
    plugin, fields = MultiDiffusion(stride=32, jitter=16), {"size": (256, 64), "steps": 8}
    still = views_of(MultiDiffusion(stride=32), **fields)
    moved = [views_of(plugin, step, **fields) for step in range(8)]
    assert len(set(moved)) == 8
    assert {views[0] for views in moved} == {still[0]}
    assert {views[-1] for views in moved} == {still[-1]}
    moves = {view.left - at_rest.left for views in moved for view, at_rest in zip(views, still, strict=True)}
    assert moves == {-2, -1, 0, 1, 2}
    assert views_of(plugin, 3, **fields) == moved[3]
    assert views_of(plugin, 3, seed=1, **fields) != moved[3]


@pytest.mark.parametrize("stride", [8, 24, 40, 48])
def test_the_largest_jitter_that_is_let_through_is_always_covered(stride: int) -> None:
    most = (64 - stride) // 2 // 8 * 8
    for seed in range(20):
        tiny_plan([MultiDiffusion(stride=stride, jitter=most)], size=(328, 328), seed=seed, steps=2)
    with pytest.raises(RecipeError, match=f"jitter {most + 8} is more than half .* use at most {most},"):
        tiny_plan([MultiDiffusion(stride=stride, jitter=most + 8)], size=(328, 328))


def test_jitter_that_does_not_fit_is_one_line() -> None:
    with pytest.raises(RecipeError, match=r"^multidiffusion: jitter 4 is not a multiple of .* factor, 8 pixels$"):
        tiny_plan([MultiDiffusion(stride=32, jitter=4)])
    with pytest.raises(RecipeError, match=r"^multidiffusion: jitter 8 is more than half .* use at most 0"):
        tiny_plan([MultiDiffusion(stride=64, jitter=8)])
    with pytest.raises(ValidationError, match="jitter"):
        MultiDiffusion(jitter=-8)
    # On a canvas of one window nothing moves.
    assert len(views_of(MultiDiffusion(stride=64, jitter=8), size=(64, 64))) == 1


def test_all_problems_come_at_once() -> None:
    with pytest.raises(RecipeError) as error:
        tiny_plan([MultiDiffusion(stride=75, noise="averaged")], scheduler="ddim")
    assert [line.partition(" ")[0] for line in error.value.problems] == ["multidiffusion:"] * 3


def test_averaged_noise_is_the_weighted_mean_of_the_views_noise() -> None:
    plan = tiny_plan([MultiDiffusion(stride=32, noise="averaged"), GuidedFusion()])
    stage, at = plan.stages[0], plan.stages[0].steps[1]
    groups = plan.hooks.ask("views", stage=stage, at=at)
    groups[0].prediction = torch.zeros(len(groups[0].views), 4, 8, 8)
    noise = plan.hooks.ask("fuse", stage=stage, at=at, groups=groups).noise
    mean = WeightedMean(groups, torch.zeros(stage.shape))
    assert noise.equal(mean(view_noise(stage, at, groups)))
    assert float(noise.var()) < 0.8


def test_noise_that_another_plugin_brings_is_left_alone() -> None:
    first = tiny_run([VarianceCorrectedFusion(), MultiDiffusion(noise="averaged")])
    last = tiny_run([MultiDiffusion(noise="averaged"), VarianceCorrectedFusion()])
    assert first.equal(last)
    assert first.equal(tiny_run([MultiDiffusion(), VarianceCorrectedFusion()]))


def test_one_group_of_kind_window() -> None:
    plan = tiny_plan([MultiDiffusion()])
    (patches,) = plan.hooks.ask("views", stage=plan.stages[0], at=plan.stages[0].steps[0])
    assert patches == Patches(patches.views, kind="window", share=1.0, weights=None, noise=None)


@pytest.mark.parametrize("ring", ["none", "x", "y", "xy"])
def test_on_a_ring_windows_go_over_the_edge(ring: Any) -> None:
    plan = tiny_plan([MultiDiffusion(stride=32), Ring(axes=ring)], size=(160, 96))
    stage = plan.stages[0]
    (patches,) = ask_views(stage, stage.steps[0], plan.hooks)
    own = "" if ring == "none" else ring
    assert stage.wrap == own
    assert {view.wrap for view in patches.views} == {own}
    # Of a canvas of 12x20 latent pixels and windows of 8x8.
    assert sorted({view.left for view in patches.views}) == [0, 4, 8, 12, *([16] if "x" in own else [])]
    assert sorted({view.top for view in patches.views}) == [0, 4, *([8] if "y" in own else [])]


def test_rings_of_two_plugins_add_up() -> None:
    class Upright(Plugin):
        """Lets top and bottom meet."""

        @hookimpl(wrapper=True)
        def plan_stages(self) -> Any:
            return [replace(plan, wrap="y") for plan in (yield)]

    for plugins in ([Upright(), MultiDiffusion(), Ring()], [Upright(), ShiftedWindows(ring="x")]):
        assert tiny_plan(plugins).stages[0].wrap == "xy"
    assert tiny_plan([Upright(), MultiDiffusion()]).stages[0].wrap == "y"
