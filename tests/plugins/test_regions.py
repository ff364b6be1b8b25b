"""Regions: where their windows lie, what they count for, and what each is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from fusionkit import Patches, Plugin, Prompt, RecipeError, Stage, View, WeightedMean, hookimpl
from fusionkit.testing import tiny_plan
from fusionkit_gvcf import GuidedFusion
from fusionkit_multidiffusion import MultiDiffusion
from fusionkit_regions import Box, Regions

BOAT = Box(box=(120, 16, 48, 40), adds="with a boat", negative_prompt="two boats")


class Ring(Plugin):
    @hookimpl(wrapper=True)
    def plan_stages(self) -> Any:
        plans = yield
        return [replace(plan, wrap="x") for plan in plans]


def asked(*plugins: Plugin, size: tuple[int, int] = (256, 64)) -> tuple[Stage, list[Patches]]:
    """A stage and its groups of views at the first step, with their prompts; windows are 8x8 latent pixels."""
    plan = tiny_plan(list(plugins), size=size, prompt="the sea")
    stage = plan.stages[0]
    groups = plan.hooks.ask("views", stage=stage, at=stage.steps[0])
    for patches in groups:
        patches.prompts = plan.hooks.ask("prompt_per_patch", stage=stage, at=stage.steps[0], patches=patches)
    return stage, groups


def test_a_region_has_one_window_around_it_with_its_own_prompt() -> None:
    _, (patches,) = asked(MultiDiffusion(stride=32), Regions(boxes={"boat": BOAT}))
    assert len(patches.views) == 8
    # Latent columns 15 to 21, whose middle is 18.
    assert patches.views[-1] == View(0, 14, 8, 8)
    assert list(patches.prompts) == [Prompt("the sea")] * 7 + [Prompt("the sea with a boat", "two boats")]


@pytest.mark.parametrize(
    ("left", "ring", "first"),
    [(0, False, 0), (208, False, 24), (0, True, 31), (208, True, 25)],
)
def test_at_a_border_the_window_stays_on_the_canvas_and_on_a_ring_it_goes_on_at_the_other_edge(
    left: int, ring: bool, first: int
) -> None:
    region = Box(box=(left, 0, 48, 64), prompt="a boat")
    _, (patches,) = asked(*([Ring()] if ring else []), Regions(boxes={"boat": region}))
    assert patches.views[-1] == View(0, first, 8, 8, wrap="x" if ring else "")


def test_a_region_that_is_larger_than_a_window_is_covered_by_several() -> None:
    region = Box(box=(64, 8, 120, 48), prompt="a boat")
    _, (patches,) = asked(MultiDiffusion(stride=64), Regions(boxes={"boat": region}))
    assert [view.left for view in patches.views] == [0, 8, 16, 24, 8, 12, 15]


def test_windows_that_lie_inside_a_region_are_not_predicted() -> None:
    region = Box(box=(128, 0, 128, 64), prompt="a boat")
    _, (patches,) = asked(MultiDiffusion(stride=32), Regions(boxes={"boat": region}, softness=0))
    # Those of the canvas at 0, 4, 8 and 12, of which the last one reaches into the region, and the region's own.
    assert [view.left for view in patches.views] == [0, 4, 8, 12, 16, 20, 24]
    assert [prompt.text for prompt in patches.prompts] == ["the sea"] * 4 + ["a boat"] * 3
    whole = Box(box=(0, 0, 256, 64), prompt="a boat")
    _, (patches,) = asked(MultiDiffusion(stride=32), Regions(boxes={"boat": whole}))
    assert {prompt.text for prompt in patches.prompts} == {"a boat"}


def test_a_prediction_is_the_regions_inside_it_and_the_others_outside_and_fades_between() -> None:
    boxes = {"boat": BOAT, "sky": Box(box=(144, 0, 64, 64), prompt="the sky")}
    plugin = Regions(boxes=boxes)
    for plugins in ([plugin], [GuidedFusion(), plugin]):
        stage, (patches,) = asked(MultiDiffusion(stride=32), *plugins)
        masks = torch.stack([plugin.mask(stage, region) for region in boxes.values()])
        canvas = torch.zeros(stage.shape)
        for number, expected in enumerate(masks / masks.sum(0).clamp_min(1e-9) * masks.amax(0)):
            # What the region's window alone says is 1, and all else 0.
            said = torch.zeros(len(patches.views), canvas.shape[1], 8, 8)
            said[number - 2] = 1
            fused = WeightedMean([patches], canvas)([said])
            assert torch.allclose(fused, expected.expand_as(fused), atol=1e-6)


def test_a_mask_is_1_inside_0_outside_linear_between_and_whole_where_the_canvas_ends() -> None:
    stage, _ = asked()
    plugin = Regions(boxes={}, softness=0.25)
    mask = plugin.mask(stage, Box(box=(0, 0, 128, 64), prompt="a boat"))
    assert mask.shape == stage.canvas
    expected = [1.0] * 12 + [3.5 / 4, 2.5 / 4, 1.5 / 4, 0.5 / 4] + [0.0] * 16
    assert mask.tolist() == [expected] * 8
    inner = plugin.mask(stage, Box(box=(64, 16, 64, 32), prompt="a boat"))
    assert inner[:, 11].tolist() == [0.0, 0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.0]
    hard = Regions(boxes={}, softness=0).mask(stage, Box(box=(64, 16, 64, 32), prompt="a boat"))
    assert hard.sum() == 8 * 4
    assert set(hard.flatten().tolist()) == {0.0, 1.0}


def test_a_region_has_its_prompt_or_adds_to_the_recipes() -> None:
    assert Box(box=(0, 0, 8, 8), prompt="a boat").told("the sea") == Prompt("a boat")
    assert Box(box=(0, 0, 8, 8), adds="with a boat").told("the sea") == Prompt("the sea with a boat")
    for given in ({}, {"prompt": "a boat", "adds": "with a boat"}):
        with pytest.raises(ValueError, match="either a prompt of its own, or what it adds to the recipe's"):
            Box(box=(0, 0, 8, 8), **given)


def test_boxes_are_of_the_finished_picture_whatever_the_stage() -> None:
    plugin = Regions(boxes={"boat": Box(box=(128, 0, 64, 64), prompt="a boat")})
    plan = tiny_plan([plugin], size=(256, 64))
    half = replace(plan.stages[0], plan=replace(plan.stages[0].plan, size=(128, 32)))
    (region,) = plugin.boxes.values()
    assert plugin.mask(half, region)[:, 8:12].min() == 0.5
    assert plugin.mask(half, region).sum() == plugin.mask(half, region)[:, 8:12].sum()


def test_groups_that_are_no_windows_are_left_alone() -> None:
    class Dilated(Plugin):
        @hookimpl(wrapper=True)
        def views(self) -> Any:
            (windows,) = yield
            return [replace(windows, kind="dilated")]

    _, (patches,) = asked(Dilated(), Regions(boxes={"boat": BOAT}))
    assert patches.weights is None
    assert set(patches.prompts) == {Prompt("the sea")}


def test_a_box_beyond_the_picture_is_told_before_anything_loads() -> None:
    with pytest.raises(RecipeError) as caught:
        tiny_plan([Regions(boxes={"boat": BOAT})], size=(160, 64))
    assert str(caught.value) == (
        "regions: box [120, 16, 48, 40] of 'boat' reaches beyond the picture of 160x64; move it, or leave it out"
    )


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ([0, 0, 0, 64], "none of [0, 64] may be 0"),
        ([-8, 0, 64, 64], "greater than or equal to 0"),
        ([0, 0, 64], "Field required"),
        ([0, 0, True, 64], "must be a number, not true"),
    ],
)
def test_a_box_that_is_none_is_refused(box: list[Any], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("[", r"\[")):
        Regions.model_validate({"boxes": {"boat": {"box": box, "prompt": "a boat"}}})
