"""Regions in runs: exact passes, models, guidance, one thing once, bootstrapping, flows, schedulers and maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from flow_plans import flow_plan
from PIL import Image
from torch import Tensor

from fusionkit import Patches, Plugin, Prompt, Stage, Told, Wrapper, hookimpl
from fusionkit.errors import PluginError
from fusionkit.models.load import wrap_pipeline
from fusionkit.runs.run import execute
from fusionkit.testing import execute_tiny, tiny_model, tiny_pipeline, tiny_plan, tiny_run
from fusionkit_accdiffusion import DilatedSampling, PatchContentPrompts, ProgressiveUpscaling
from fusionkit_elasticdiffusion import ElasticDiffusion
from fusionkit_gvcf import GuidedFusion, StyleAlignment, VarianceCorrectedFusion
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_multidiffusion import MultiDiffusion
from fusionkit_regions import Box, Once, Regions
from fusionkit_spotdiffusion import ShiftedWindows

LEFT = Box(box=(0, 0, 0.5, 1), prompt="a boat", soft_border=0)


class Ring(Plugin):
    @hookimpl(wrapper=True)
    def plan_stages(self) -> Any:
        plans = yield
        return [replace(plan, wrap="x") for plan in plans]


class Counts(Plugin):
    """Keeps the passes and the latents of each group, as models are asked."""

    passes: list[int]
    seen: list[Any] = []

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, patches: Patches) -> Wrapper[Tensor]:
        before = sum(model.forward_passes for model in stage.models.values())
        self.seen.append((patches.latents, patches.told, patches.views))
        prediction = yield
        self.passes.append(sum(model.forward_passes for model in stage.models.values()) - before)
        return prediction


def counted(
    plugins: Sequence[Plugin], models: Sequence[str] = ("model",), **fields: Any
) -> tuple[list[int], list[Any]]:
    """The passes of each group at each step, which are what was said, and what models were asked about."""
    counts = Counts(passes=[], seen=[])
    plan = tiny_plan([counts, *plugins], **{"size": (256, 64), "prompt": "the sea", **fields})
    execute_tiny(plan)
    assert plan.forward_passes == sum(counts.passes)
    return counts.passes, counts.seen


def test_a_view_costs_one_pass_for_each_prompt_that_it_hears() -> None:
    grid = MultiDiffusion(stride=64)
    assert counted([grid], steps=1)[0] == [8]
    # The border lies between two windows.
    assert counted([grid, Regions(boxes={"left": LEFT})], steps=1)[0] == [8]
    inside = Regions(boxes={"left": Box(box=(0, 0, 160, 64), prompt="a boat", soft_border=0)})
    assert counted([grid, inside], steps=1)[0] == [10]
    # One of its own for the thing that fits into a window.
    assert counted([grid, Regions(once="a moon")], steps=1)[0] == [10]
    three = {name: Box(box=(0, 0, 1, 1), prompt=name) for name in "abc"}
    assert counted([grid, Regions(boxes=three)], steps=1)[0] == [24]


def test_guidance_of_a_region_is_counted_within_its_interval() -> None:
    boxes = {
        "left": Box(box=(0, 0, 0.5, 1), guidance_scale=1, soft_border=0),
        "right": Box(box=(0.75, 0, 0.25, 1), guidance_scale=9, soft_border=0),
    }
    fields = {"steps": 4, "guidance_interval": [0, 0.5]}
    assert counted([MultiDiffusion(stride=64), Regions(boxes=boxes)], **fields)[0] == [6, 6, 4, 4]


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_each_model_draws_its_region_alone(kind: Any) -> None:
    names, grid = ("sea", "boats"), MultiDiffusion(stride=64)
    fields = {"models": names, "size": (256, 64), "scheduler": "ddim", "steps": 2, "prompt": "the sea"}
    boxes = {"left": Box(box=(0, 0, 0.5, 1), prompt="a boat", model="boats", soft_border=0)}
    mixed = tiny_run([grid, Regions(boxes=boxes)], kind, **fields)
    both = {"left": LEFT, "right": Box(box=(0.5, 0, 0.5, 1), prompt="a boat", model="boats", soft_border=0)}
    other = tiny_run([grid, Regions(boxes=both)], kind, **fields)
    main = tiny_run([grid], kind, **{**fields, "models": ("sea",)})
    # The windows do not meet at the border, so that each half is what its model draws.
    assert mixed[..., 16:].allclose(main[..., 16:], atol=1e-4)
    assert not mixed[..., :16].allclose(main[..., :16], atol=1e-2)
    whole = {"all": Box(box=(0, 0, 1, 1), prompt="a boat", model="boats")}
    boats = tiny_run([grid, Regions(boxes=whole)], kind, **fields)
    assert mixed[..., :16].allclose(boats[..., :16], atol=1e-4)
    assert other[..., 16:].allclose(boats[..., 16:], atol=1e-4)
    # A model that draws everything draws what it does alone.
    plan = tiny_plan([grid], kind, **{**fields, "models": ("boats",), "prompt": "a boat"})
    alone = execute(plan, tiny_model(kind, 1))
    assert boats.allclose(alone, atol=1e-4)


def test_one_thing_is_heard_by_one_window_at_a_place_that_the_seed_draws() -> None:
    grid, places = MultiDiffusion(stride=32), set()
    for seed in range(6):
        plan = tiny_plan([grid, Regions(once="a red balloon")], size=(512, 64), prompt="the sea", seed=seed)
        stage = plan.stages[0]
        (group,) = plan.hooks.ask("views", stage=stage, at=stage.steps[0])
        told = [each for each in group.told if each.part]
        assert told == [Told(Prompt("the sea with a red balloon"), part="once")]
        assert all(each == Told() for each in group.told[:-1])
        places.add(group.views[-1].left)
        (again,) = plan.hooks.ask("views", stage=stage, at=stage.steps[2])
        assert again.views == group.views
    assert len(places) > 3
    assert min(places) >= 0
    assert max(places) <= 56
    plugin = Regions(once={"a": "a moon", "b": "with a sun"})  # type: ignore[dict-item]
    assert [each.adds for each in plugin.once.values()] == ["with a moon", "with a sun"]


def test_things_are_placed_beside_each_other_and_stay_where_they_are_in_later_stages() -> None:
    things = {name: Once(adds=f"with {name}") for name in ("a moon", "a sun", "a boat")}
    plugin = Regions(once=things, boxes={"left": LEFT})
    for seed in range(4):
        (stage,) = tiny_plan([plugin], size=(1024, 64), seed=seed).stages
        lefts = sorted((box[0], box[0] + box[2]) for box in plugin.places(stage).values())
        assert all(end <= start + 1e-6 for (_, end), (start, _) in pairwise(lefts))
        assert {box[1::2] for box in plugin.places(stage).values()} == {(0, 1)}
    plan = tiny_plan([ProgressiveUpscaling(), plugin], size=(256, 128))
    assert len(plan.stages) > 1
    assert all(plugin.places(stage) == plugin.places(plan.stages[0]) for stage in plan.stages)
    at = Regions(once={"a": Once(adds="with a moon", at=(512, 0), size=(64, 64))})
    plan = tiny_plan([at], size=(1024, 128))
    assert at.places(plan.stages[0])["a"] == (480 / 1024, 0, 1 / 16, 0.5)


def test_all_others_avoid_what_is_to_be_there_once() -> None:
    once = {
        "moon": Once(adds="with a moon", avoid_elsewhere=True),
        "sun": Once(prompt="a sun", negative_prompt="rain", at=(0.5, 0.5)),
    }
    plan = tiny_plan([Regions(once=once)], size=(512, 64), prompt="the sea", negative_prompt="fog")
    stage = plan.stages[0]
    (group,) = plan.hooks.ask("views", stage=stage, at=stage.steps[0])
    asked = plan.hooks.ask("prompt_per_patch", stage=stage, at=stage.steps[0], patches=group)
    prompts = {told.part: prompt for told, prompt in zip(group.told, asked, strict=True)}
    assert prompts == {
        "": Prompt("the sea", "fog, a moon"),
        "moon": Prompt("the sea with a moon", "fog"),
        "sun": Prompt("a sun", "rain, a moon"),
    }


def test_in_the_first_steps_a_regions_views_see_a_plain_colour_around_it() -> None:
    box = Box(box=(64, 16, 40, 40), adds="with a boat")
    _, seen = counted([MultiDiffusion(stride=64), Regions(boxes={"boat": box}, bootstrapping=0.5)], steps=4)
    _, plain = counted([MultiDiffusion(stride=64), Regions(boxes={"boat": box})], steps=4)
    (latents, told, views), (usual, _, _) = seen[0], plain[0]
    assert [each.part for each in told] == [""] * 4 + ["boat"]
    assert latents[:-1].equal(usual[:-1])
    # The box is of latent rows 2 to 6 and columns 8 to 12.
    top, left = 2 - views[-1].top, 8 - views[-1].left
    own = torch.zeros(8, 8, dtype=torch.bool)
    own[top : top + 5, left : left + 5] = True
    assert latents[-1][:, own].equal(usual[-1][:, own])
    assert (latents[-1][:, ~own] != usual[-1][:, ~own]).all()
    # Noise as there is at that step.
    assert 0.7 < float(latents[-1][:, ~own].std()) < 1.4


def test_bootstrapping_ends_and_leaves_later_stages_alone() -> None:
    plugin = Regions(boxes={"boat": LEFT}, bootstrapping=0.4)
    plan = tiny_plan([ProgressiveUpscaling(), plugin], size=(128, 64), steps=5)
    first, second = plan.stages
    assert [plugin.begins(first, at) for at in first.steps] == [True, True, False, False, False]
    assert not any(plugin.begins(second, at) for at in second.steps)
    (stage,) = tiny_plan([Regions(boxes={"boat": LEFT})]).stages
    assert not Regions(boxes={"boat": LEFT}).begins(stage, stage.steps[0])


@pytest.mark.parametrize("scheduler", ["euler-a", "dpm++-2m", "lcm", "pndm", "unipc"])
def test_with_any_scheduler(scheduler: str) -> None:
    regions = Regions(boxes={"left": again(LEFT, guidance_scale=2.0)}, once="a moon", bootstrapping=0.3)
    fields = {"scheduler": scheduler, "steps": 4, "size": (136, 72)}
    latents = tiny_run([GuidedFusion(), regions], **fields)
    assert latents.isfinite().all()
    assert not latents.allclose(tiny_run([GuidedFusion()], **fields), atol=1e-2)


def test_a_flow_has_regions() -> None:
    regions = Regions(boxes={"left": LEFT}, once="a moon", bootstrapping=0.4)
    plan = flow_plan([MultiDiffusion(stride=40), regions])
    model = wrap_pipeline(tiny_pipeline())
    latents = execute(plan, model)
    assert plan.forward_passes == model.forward_passes
    assert latents.isfinite().all()
    neutral = Regions(boxes={"all": Box(box=(0, 0, 1, 1), prompt="a hill")})
    plain = execute(flow_plan([]), wrap_pipeline(tiny_pipeline()))
    assert execute(flow_plan([neutral]), wrap_pipeline(tiny_pipeline())).equal(plain)
    assert not latents.allclose(plain, atol=1e-2)


def test_regions_with_everything_else() -> None:
    regions = Regions(boxes={"left": Box(box=(0.9, 0, 0.3, 1), adds="with a boat", guidance_scale=6.0)}, once="a moon")
    plugins = [
        Ring(),
        ProgressiveUpscaling(),
        StyleAlignment(),
        MultiDiffusion(stride=32, jitter=8),
        DilatedSampling(),
        GuidedFusion(),
        VarianceCorrectedFusion(),
        PatchContentPrompts(levels=(1,)),
        regions,
    ]
    passes, _ = counted(plugins, size=(192, 128), steps=2)
    assert len(passes) > 4
    assert counted([ShiftedWindows(), regions, Ring()], size=(192, 64))[0]


def test_a_neutral_region_changes_no_bit_with_noise_of_the_views_and_a_second_stage() -> None:
    plugins = [ProgressiveUpscaling(), MultiDiffusion(stride=32, jitter=8), GuidedFusion(), VarianceCorrectedFusion()]
    neutral = Regions(boxes={"all": Box(box=(0, 0, 1, 1), prompt="a hill")})
    fields = {"size": (152, 104), "steps": 2}
    assert tiny_run([*plugins, neutral], **fields).equal(tiny_run(plugins, **fields))


def test_who_can_not_follow_regions_says_so() -> None:
    models = ("model", "other")
    blending = SaliencyNoiseBlending(models={"model": {}, "other": {"prompt": "a hill"}})  # type: ignore[dict-item]
    with pytest.raises(PluginError, match="saliency-noise-blending: it says itself which model draws what"):
        tiny_plan([blending, Regions(boxes={"left": again(LEFT, model="other")})], models=models)
    tiny_plan([blending, Regions(boxes={"left": LEFT})], models=models)
    with pytest.raises(PluginError, match="elastic-diffusion: its windows hear no prompt"):
        tiny_plan([ElasticDiffusion(resampling=1), Regions(boxes={"left": LEFT})])


def test_the_map_shows_which_region_told_which_part() -> None:
    boxes = {"boat": LEFT, "right": Box(box=(0.75, 0, 0.25, 1), guidance_scale=2.0, soft_border=0)}
    plan = tiny_plan([Regions(boxes=boxes)], size=(256, 64))
    picture = Image.new("RGB", (256, 64), (100, 100, 100))
    (maps,) = plan.hooks.ask("maps", stage=plan.stages[0], image=picture)
    shown = maps["regions"]
    assert shown.width == 1024
    left, middle, right = (np.asarray(shown)[100, column] for column in (200, 600, 1000))
    assert middle.tolist() == [100, 100, 100]
    assert len({tuple(each) for each in (left, middle, right)}) == 3
    assert left[0] > left[2] + 50
    plan = tiny_plan([Regions()])
    assert plan.hooks.ask("maps", stage=plan.stages[0], image=picture) == [{}]


def again(region: Any, **changes: Any) -> Any:
    """A region with other options."""
    return type(region)(**{**region.model_dump(), **changes})
