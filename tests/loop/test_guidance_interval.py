"""Guidance in some of the steps: outside of them a view goes through the denoiser once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from fusionkit import Patches, Plugin, Stage, Step, View, hookimpl
from fusionkit.errors import RecipeError
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.models.load import wrap_pipeline
from fusionkit.recipe.made import make_recipe
from fusionkit.recipe.recipe_file import parse_recipe
from fusionkit.runs.run import execute, prepare
from fusionkit.testing import execute_tiny, tiny_model, tiny_pipeline, tiny_plan, tiny_run
from fusionkit_magicfusion import SaliencyNoiseBlending


class Seen(Plugin):
    """Keeps the passes of each step, and every prediction."""

    passes: list[int]
    predictions: list[Any]

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage) -> Any:
        before = sum(model.forward_passes for model in stage.models.values())
        prediction = yield
        self.passes.append(sum(model.forward_passes for model in stage.models.values()) - before)
        self.predictions.append(prediction)
        return prediction


class Scaled(Plugin):
    """Asks the model with a guidance scale of its own, as any plugin may."""

    scale: float = 3.0
    interval: Any = None

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        return stage.model.predict(stage, at, patches, guidance_scale=self.scale, guidance_interval=self.interval)


def watched(plugins: list[Plugin], models: Any = ("model",), **fields: Any) -> tuple[Any, list[int], list[Any], int]:
    seen = Seen(passes=[], predictions=[])
    plan = tiny_plan([*plugins, seen], models=models, **{"scheduler": "ddim", "size": (64, 64), **fields})
    latents = execute_tiny(plan)
    return latents, seen.passes, seen.predictions, plan.forward_passes


@pytest.mark.parametrize(
    ("interval", "steps", "guided"),
    [
        ([0.0, 0.6], 5, [0, 1, 2]),
        ([0, 0.5], 5, [0, 1, 2]),
        ([0.2, 0.6], 5, [1, 2]),
        ([0.41, 1], 5, [3, 4]),
        ([0.0, 0.29], 100, list(range(29))),  # int(0.29 * 100) is 28
        ([0.0, 1.0], 4, [0, 1, 2, 3]),
    ],
)
def test_outside_of_it_the_unconditional_pass_is_not_made(interval: Any, steps: int, guided: list[int]) -> None:
    _, passes, _, planned = watched([], steps=steps, guidance_interval=interval)
    assert [index for index, count in enumerate(passes) if count == 2] == guided
    assert set(passes) <= {1, 2}
    assert planned == sum(passes)


def test_inside_it_is_guidance_and_outside_the_conditional_output() -> None:
    _, _, with_all, _ = watched([], steps=4)
    _, _, with_some, _ = watched([], steps=4, guidance_interval=[0.0, 0.5])
    assert with_some[0].equal(with_all[0])
    assert with_some[1].equal(with_all[1])
    # The canvas is the same still, and its prediction now the conditional one.
    _, _, with_none, _ = watched([], steps=4, guidance_interval=[0.5, 1.0])
    _, _, unguided, _ = watched([], steps=4, guidance_scale=1.0)
    assert with_none[0].equal(unguided[0])
    assert not with_some[2].equal(with_all[2])


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_the_whole_interval_changes_nothing(kind: Any) -> None:
    assert tiny_run([], kind, guidance_interval=[0, 1]).equal(tiny_run([], kind))


def test_a_plugins_own_scale_is_bound_by_the_interval_and_its_own_interval_goes_before() -> None:
    _, passes, predictions, _ = watched([Scaled()], steps=4, guidance_interval=[0.0, 0.5])
    assert passes == [2, 2, 1, 1]
    _, _, by_recipe, _ = watched([], steps=4, guidance_interval=[0.0, 0.5], guidance_scale=3.0)
    assert all(one.equal(other) for one, other in zip(predictions, by_recipe, strict=True))
    _, passes, _, _ = watched([Scaled(interval=(0.5, 1.0))], steps=4, guidance_interval=[0.0, 0.5])
    assert passes == [1, 1, 2, 2]


def test_blending_has_it_for_each_role_and_counts_exactly() -> None:
    roles = {
        "scene": {"guidance-interval": [0, 0.5]},
        "rocket": {"prompt": "a rocket", "guidance-scale": 6.0},
    }
    blending: Any = SaliencyNoiseBlending(models=roles, blend={"from": 1.0, "to": 0.5})  # type: ignore[arg-type]
    names = ("scene", "rocket")
    _, passes, _, planned = watched([blending], names, steps=6, guidance_interval=[0.5, 1.0])
    # Blended: two models, with and without the prompt, which saliency compares. Then the scene alone, by its interval.
    assert passes == [4, 4, 2, 1, 1, 1]
    assert planned == sum(passes)
    (stage,) = tiny_plan([blending], models=names, scheduler="ddim", steps=6, guidance_interval=[0.5, 1.0]).stages
    view = Patches((View(0, 0, 8, 8),))
    scales = [[scale for name in names for scale in blending._scales(stage, at, view, name)] for at in stage.steps]
    assert scales == [[4, 1]] * 3 + [[1, 6]] * 3
    later: Any = SaliencyNoiseBlending(
        models={"scene": {}, "rocket": {"prompt": "a rocket"}},
        blend={"from": 0.5, "to": 0.0},  # type: ignore[arg-type]
    )
    _, passes, _, planned = watched([later], names, steps=6, guidance_interval=[0.0, 0.3])
    assert passes == [2, 2, 4, 4, 4, 4]
    assert planned == sum(passes)


def test_a_model_that_takes_the_scale_is_told_1_outside() -> None:
    pipe = tiny_pipeline(seed=5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DConditionModel.from_config(pipe.unet.config, time_cond_proj_dim=8).eval()
    before, pipe.unet = pipe.unet, unet
    try:
        info = info_of_pipeline(pipe)
        assert info.takes_guidance
        assert not info_of_pipeline(tiny_pipeline()).takes_guidance
        told: list[Tensor] = []
        hook = unet.register_forward_pre_hook(
            lambda _, args, kwargs: told.append(kwargs["timestep_cond"]), with_kwargs=True
        )
        recipe = make_recipe(
            prompt="a", size=(64, 64), steps=4, guidance_scale=4.0, guidance_interval=[0, 0.5], scheduler="ddim"
        )
        plan = prepare(recipe, info)
        model = wrap_pipeline(pipe)
        execute(plan, model)
        hook.remove()
        assert plan.forward_passes == model.forward_passes == 4
        embedded = [pipe.get_guidance_scale_embedding(torch.tensor([w]), embedding_dim=8) for w in (3.0, 3.0, 0.0, 0.0)]
        assert all(one.equal(other) for one, other in zip(told, embedded, strict=True))
    finally:
        pipe.unet = before


def test_it_is_checked_and_written() -> None:
    text = "model: tinyworld/scenes\nguidance-interval: [0, 0.6]\n"
    (recipe,) = parse_recipe(text, "test.yaml").recipes
    assert recipe.guidance_interval == (0.0, 0.6)
    assert recipe.dump()["guidance-interval"] == [0.0, 0.6]
    assert "guidance-interval" in recipe.to_yaml()
    expected = r"guidance-interval' must be two numbers from 0 to 1, the smaller first, such as \[0, 0\.6\], not "
    for given in ("[0.6, 0]", "[0, 1.5]", "0.6", "[0, 0.5, 1]", "[a, b]", "[0.5, 0.5]", "[.nan, 1]", "[true, 1]"):
        with pytest.raises(RecipeError, match=expected):
            parse_recipe(text.replace("[0, 0.6]", given), "test.yaml")
    line = r"guidance-interval \[0\.41, 0\.44\] holds none of the 5 steps; make it wider, or set guidance-scale: 1"
    with pytest.raises(RecipeError, match=line):
        tiny_plan(guidance_interval=[0.41, 0.44], steps=5)
    tiny_plan(guidance_interval=[0.41, 0.44], steps=5, guidance_scale=1.0)
    with pytest.raises(RecipeError, match="here it is 'guidance-interval'"):
        parse_recipe("cfg-interval: [0, 0.6]\n", "test.yaml")


def test_views_that_are_left_out_cost_nothing_here_either() -> None:
    (stage,) = (plan := tiny_plan(scheduler="ddim", guidance_interval=[0, 0.4])).stages
    stage.model = tiny_model()
    (group,) = plan.hooks.ask("views", stage=stage, at=stage.steps[0])
    some = replace(group).narrowed([True, False] * 3, Seen(passes=[], predictions=[]))
    counts = [plan.hooks.ask("forward_passes", stage=stage, at=at, patches=some) for at in stage.steps]
    assert counts == [6, 6, 3]
