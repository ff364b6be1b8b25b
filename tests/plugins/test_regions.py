"""Regions: where they lie, which windows hear them, what these count for, and what each is told."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fusionkit import Patches, Plugin, Prompt, RecipeError, Stage, Told, View, WeightedMean, hookimpl
from fusionkit.recipe.recipe_file import load_recipes
from fusionkit.testing import tiny_plan
from fusionkit_gvcf import GuidedFusion
from fusionkit_multidiffusion import MultiDiffusion
from fusionkit_regions import Box, Mask, Once, Regions
from fusionkit_regions.masks import of_box
from fusionkit_regions.places import in_shares, spans

BOAT = Box(box=(120, 16, 48, 40), adds="with a boat", negative_prompt="two boats")


class Ring(Plugin):
    @hookimpl(wrapper=True)
    def plan_stages(self) -> Any:
        plans = yield
        return [replace(plan, wrap="x") for plan in plans]


def again(region: Any, **changes: Any) -> Any:
    """A region with other options."""
    return type(region)(**{**region.model_dump(), **changes})


def painted(path: Path, values: Any) -> Path:
    """A mask of values from 0 to 255."""
    Image.fromarray(values.round().astype("uint8")).save(path)
    return path


def box_mask(stage: Stage, box: Any, softness: float) -> torch.Tensor:
    """How much of each latent pixel is a box's."""
    return torch.tensor(of_box(*spans(stage, in_shares(box, stage.recipe.size)), softness, None))


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


def test_a_larger_region_shares_the_windows_that_see_it() -> None:
    region = Box(box=(64, 8, 120, 48), prompt="a boat")
    _, (patches,) = asked(MultiDiffusion(stride=64), Regions(boxes={"boat": region}))
    assert [view.left for view in patches.views] == [0, 8, 16, 24, 8, 16]
    assert [prompt.text for prompt in patches.prompts] == ["the sea"] * 4 + ["a boat"] * 2
    # With windows of its own it is covered by several.
    _, (patches,) = asked(MultiDiffusion(stride=64), Regions(boxes={"boat": again(region, window="own")}))
    assert [view.left for view in patches.views] == [0, 8, 16, 24, 8, 12, 15]
    small = again(BOAT, window="shared")
    _, (patches,) = asked(MultiDiffusion(stride=64), Regions(boxes={"boat": small}))
    assert [view.left for view in patches.views] == [0, 8, 16, 24, 8, 16]


def test_a_window_is_predicted_once_for_each_prompt_that_counts_in_it() -> None:
    region = Box(box=(128, 0, 128, 64), prompt="a boat")
    _, (patches,) = asked(MultiDiffusion(stride=32), Regions(boxes={"boat": region}, softness=0))
    assert [view.left for view in patches.views] == [0, 4, 8, 12, 12, 16, 20, 24]
    assert [prompt.text for prompt in patches.prompts] == ["the sea"] * 4 + ["a boat"] * 4
    # The windows that see one alone count as ever.
    assert patches.weights is not None
    assert (patches.weights.amin((1, 2, 3)) == torch.tensor([1.0, 1, 1, 0, 0, 1, 1, 1])).all()
    whole = Box(box=(0, 0, 1, 1), prompt="a boat")
    _, (patches,) = asked(MultiDiffusion(stride=32), Regions(boxes={"boat": whole}))
    assert {prompt.text for prompt in patches.prompts} == {"a boat"}
    assert len(patches.views) == 7
    assert patches.weights is None


def test_a_prediction_is_the_regions_inside_it_and_the_others_outside_and_fades_between() -> None:
    boxes = {"boat": BOAT, "sky": Box(box=(144, 0, 64, 64), prompt="the sky", window="shared")}
    plugin = Regions(boxes=boxes)
    for plugins in ([plugin], [GuidedFusion(), plugin]):
        stage, (patches,) = asked(MultiDiffusion(stride=32), *plugins)
        extents = [spans(stage, place) for place in plugin.places(stage).values()]
        masks = torch.stack([torch.tensor(of_box(*extent, plugin.softness, None)) for extent in extents])
        canvas = torch.zeros(stage.shape)
        expected = {"boat": masks[0], "sky": masks[1], "": (1 - masks.sum(0)).clamp_min(0)}
        for name, counts in expected.items():
            # What the region's views alone say is 1, and all else 0.
            said = torch.tensor([float(told.part == name) for told in patches.told]).reshape(-1, 1, 1, 1)
            fused = WeightedMean([patches], canvas)([said.expand(-1, canvas.shape[1], 8, 8)])
            part = counts / masks.sum(0).clamp_min(1) if name else counts
            assert torch.allclose(fused, part.expand_as(fused), atol=1e-3), name


def test_a_box_fades_within_its_border_and_not_where_the_canvas_ends() -> None:
    stage, _ = asked()
    mask = box_mask(stage, (0, 0, 128, 64), softness=0.25)
    assert mask.shape == stage.canvas
    expected = [1.0] * 12 + [3.5 / 4, 2.5 / 4, 1.5 / 4, 0.5 / 4] + [0.0] * 16
    assert mask.tolist() == [expected] * 8
    inner = box_mask(stage, (64, 16, 64, 32), softness=0.25)
    assert inner[:, 11].tolist() == [0.0, 0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.0]
    hard = box_mask(stage, (64, 16, 64, 32), softness=0)
    assert hard.sum() == 8 * 4
    assert set(hard.flatten().tolist()) == {0.0, 1.0}
    assert box_mask(stage, (0.25, 0.25, 0.25, 0.5), softness=0).tolist() == hard.tolist()


@pytest.mark.parametrize("size", [(256, 64), (152, 184), (136, 72)])
@pytest.mark.parametrize("ring", [False, True])
def test_two_boxes_side_by_side_with_soft_borders_leave_nothing_between(size: Any, ring: bool) -> None:
    boxes = {
        name: Box(box=(0.37 * number, 0, 0.37 + 0.26 * number, 1), prompt=name, soft_border=40)
        for number, name in enumerate("ab")
    }
    stage, (patches,) = asked(*([Ring()] if ring else []), Regions(boxes=boxes), size=size)
    parts = Regions(boxes=boxes).parts(stage)
    assert float(parts.around.max()) == 0
    total = parts.regions[0].counts + parts.regions[1].counts
    assert total.allclose(torch.ones(stage.canvas), atol=2e-3)
    assert "the sea" not in {prompt.text for prompt in patches.prompts}
    # The border is where they count alike, and so is the ring's edge.
    first = parts.regions[0].counts[0]
    assert abs(float((first > 0.5).sum()) - 0.37 * stage.canvas[1]) <= 1
    assert (0.4 < float(first[0]) < 0.75) is ring
    assert sorted(first.tolist(), reverse=True) == first.tolist() or ring


def test_a_box_may_cross_the_edge_of_a_ring() -> None:
    crossing = Box(box=(0.9, 0, 0.2, 1), prompt="a boat")
    stage, (patches,) = asked(Ring(), Regions(boxes={"boat": crossing}))
    counts = Regions(boxes={"boat": crossing}, softness=0).parts(stage).regions[0].counts[0]
    assert counts.tolist() == [1.0] * 3 + [0.0] * 26 + [1.0] * 3
    assert patches.views[-1] == View(0, 28, 8, 8, wrap="x")
    before = again(crossing, box=(-0.1, 0, 0.2, 1))
    assert Regions(boxes={"boat": before}, softness=0).parts(stage).regions[0].counts[0].equal(counts)
    with pytest.raises(RecipeError, match=r"box \[0.9, 0, 0.2, 1\] of 'boat' reaches beyond the picture of 256x64"):
        asked(Regions(boxes={"boat": crossing}))


def test_what_a_region_is_told_is_the_recipes_where_it_says_nothing() -> None:
    assert Box(box=(0, 0, 8, 8), prompt="a boat").told("the sea") == Told(Prompt("a boat"))
    assert Box(box=(0, 0, 8, 8), adds="with a boat").told("the sea").prompt == Prompt("the sea with a boat")
    strong = Box(box=(0, 0, 8, 8), guidance_scale=9, model="boats", negative_prompt="a moon")
    assert strong.told("the sea", "x") == Told(Prompt("the sea", "a moon"), 9, "boats", "x")
    with pytest.raises(ValueError, match="either a prompt of its own, or what it adds to the recipe's"):
        Box(box=(0, 0, 8, 8), prompt="a boat", adds="with a boat")
    with pytest.raises(ValueError, match="a region that says nothing is no region; give it a prompt"):
        Box(box=(0, 0, 8, 8), soft_border=8)


def test_boxes_are_of_the_finished_picture_whatever_the_stage() -> None:
    region = Box(box=(128, 0, 64, 64), prompt="a boat")
    stage, _ = asked()
    half = replace(stage, plan=replace(stage.plan, size=(128, 32)), cache={})
    counts = Regions(boxes={"boat": region}, softness=0.25).parts(half).regions[0].counts
    assert counts[:, 8:12].min() == 0.5
    assert counts.sum() == counts[:, 8:12].sum()
    soft = Regions(boxes={"boat": again(region, soft_border=64)})
    assert soft.parts(half).regions[0].counts[0, 5:11].tolist() == [0.0, 0.125, 0.375, 0.625, 0.875, 0.875]


def test_groups_that_are_no_windows_are_left_alone() -> None:
    class Dilated(Plugin):
        @hookimpl(wrapper=True)
        def views(self) -> Any:
            (windows,) = yield
            return [replace(windows, kind="dilated")]

    _, (patches,) = asked(Dilated(), Regions(boxes={"boat": BOAT}))
    assert patches.weights is None
    assert set(patches.prompts) == {Prompt("the sea")}


def test_views_of_another_plugin_keep_their_noise_what_they_leave_out_and_what_they_are_told() -> None:
    class Others(Plugin):
        @hookimpl(wrapper=True)
        def views(self, stage: Stage) -> Any:
            (group,) = yield
            count = len(group.views)
            noise = torch.arange(float(count)).reshape(-1, 1, 1, 1).expand(count, 4, 8, 8)
            told = (Told(guidance_scale=2.0),) * count
            return [replace(group, noise=noise, told=told).narrowed([True, False] * 3 + [True] * (count - 6), self)]

    region = Box(box=(0, 0, 0.5, 1), prompt="a boat")
    _, (patches,) = asked(MultiDiffusion(stride=32), Others(), Regions(boxes={"left": region, "boat": BOAT}))
    assert patches.noise is not None
    assert patches.noise[:-1, 0, 0, 0].tolist() == [2.0, 3, 4, 5, 6, 0, 1, 2, 3]
    assert float(patches.noise[-1].std()) > 0.5
    assert patches.predict == (True, False, True, False, True, True, False, True, False, True)
    assert [told.guidance_scale for told in patches.told] == [2.0] * 5 + [None] * 5


def test_what_covers_nothing_and_who_is_unknown_is_told_before_anything_loads_all_at_once(tmp_path: Path) -> None:
    painted(tmp_path / "wide.png", np.full((10, 30), 255))
    painted(tmp_path / "black.png", np.zeros((16, 40)))
    (tmp_path / "text.png").write_text("no picture")
    masks = {
        name: Mask(mask=tmp_path / f"{name}.png", prompt="a boat") for name in ("wide", "black", "text", "missing")
    }
    boxes = {
        "beyond": again(BOAT, box=(120, 16, 48, 40)),
        "outside": again(BOAT, box=(1.5, 0, 0.25, 1)),
        "tiny": again(BOAT, box=(0, 0, 6, 64)),
        "other": again(BOAT, box=(0, 0, 64, 64), model="boat"),
    }
    once = {"far": Once(adds="with a moon", at=(200, 10)), "small": Once(adds="with a sun", size=(0.02, 1))}
    with pytest.raises(RecipeError) as caught:
        tiny_plan([Regions(boxes=boxes, masks=masks, once=once)], models=("main", "boats"), size=(160, 64))
    where = f"{tmp_path}{os.sep}"
    assert caught.value.problems == [
        "regions: box [120, 16, 48, 40] of 'beyond' reaches beyond the picture of 160x64; move it, or leave it out",
        "regions: box [1.5, 0, 0.25, 1] of 'outside' reaches beyond the picture of 160x64; move it, or leave it out",
        "regions: box [0, 0, 6, 64] of 'tiny' covers nothing: it is smaller than a latent pixel, 8x8 pixels of the "
        "picture; make it larger",
        "regions: 'other' asks the model 'boat', which is none of the recipe's models; did you mean 'boats'?; there "
        "are: main, boats",
        f"regions: mask '{where}wide.png' of 'wide' has 30x10 pixels, and the picture 160x64: their aspect ratios "
        "differ; make the mask 25x10",
        f"regions: mask '{where}black.png' of 'black' covers nothing: it is black; paint white where the region is",
        f"regions: mask of 'text' '{where}text.png' is no picture of a known format",
        f"regions: mask of 'missing' '{where}missing.png' does not exist",
        "regions: the place [200, 10] of 'far' lies outside of the picture of 160x64; move it",
        "regions: size [0.02, 1] of 'small' covers nothing: it is smaller than a latent pixel, 8x8 pixels of the "
        "picture; make it larger",
    ]


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ([0, 0, 0, 64], "none of [0, 64] may be 0 or less"),
        ([0, 0, 64, -1], "none of [64, -1] may be 0 or less"),
        ([0, 0, 64], "Field required"),
        ([0, 0, True, 64], "must be a number, not true"),
        ([0.5, 0, 64, 64], "whole pixels, or in shares of the picture, whose width and height are at most 1"),
    ],
)
def test_a_box_that_is_none_is_refused(box: list[Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        Regions.model_validate({"boxes": {"boat": {"box": box, "prompt": "a boat"}}})
    with pytest.raises(ValueError, match="two regions are called 'a'; give one of them another name"):
        Regions(boxes={"a": BOAT}, once={"a": Once(adds="with a moon")})


@pytest.mark.parametrize("size", [(160, 64), (152, 184), (136, 72)])
@pytest.mark.parametrize("times", [1, 3, 1 / 4])
def test_a_mask_of_any_size_is_stretched_to_the_canvas(tmp_path: Path, size: Any, times: float) -> None:
    width, height = (round(side * times) for side in size)
    ramp = np.linspace(0, 255, width)[None].repeat(height, 0)
    stage = tiny_plan(size=size).stages[0]
    mask = Mask(mask=painted(tmp_path / "ramp.png", ramp), prompt="a boat")
    counts = Regions(masks={"boat": mask}).parts(stage).regions[0].counts
    assert counts.shape == stage.canvas
    columns = stage.canvas[1]
    assert counts[0].allclose((torch.arange(columns) + 0.5) / columns, atol=0.06)
    tiny_plan([Regions(masks={"boat": mask})], size=size)


def test_a_painted_region_has_a_window_of_its_own_where_it_fits_across_the_edge_as_well(tmp_path: Path) -> None:
    sheet = np.zeros((64, 256))
    sheet[16:48, :24] = sheet[16:48, 232:] = 255
    mask = Mask(mask=painted(tmp_path / "mask.png", sheet), prompt="a boat")
    _, (patches,) = asked(Ring(), Regions(masks={"boat": mask}))
    assert patches.views[-1] == View(0, 28, 8, 8, wrap="x")
    stage, (patches,) = asked(MultiDiffusion(stride=64), Regions(masks={"boat": mask}))
    assert [view.left for view, told in zip(patches.views, patches.told, strict=True) if told.part] == [0, 24]
    soft = Regions(masks={"boat": again(mask, soft_border=32)}).parts(stage).regions[0].counts
    assert (soft[4, :6] / 0.875).tolist() == [1.0, 0.875, 0.625, 0.375, 0.125, 0.0]
    assert soft[:, 0].tolist() == [0.125, 0.375, 0.625, 0.875, 0.875, 0.625, 0.375, 0.125]


def test_a_mask_lies_beside_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painted(tmp_path / "sky.png", np.full((64, 160), 255))
    (tmp_path / "r.yaml").write_text(
        "plugins:\n  - regions: {masks: {sky: {mask: sky.png, prompt: a sky}}}\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path.parent)
    (recipe,) = load_recipes(tmp_path / "r.yaml")
    (plugin,) = recipe.plugins
    assert isinstance(plugin, Regions)
    assert plugin.masks["sky"].mask == tmp_path / "sky.png"
