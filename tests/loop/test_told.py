"""Views that are told something of their own: a prompt, how strongly they follow it, and which model predicts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fusionkit import Patches, Plugin, Prompt, Stage, Step, Told, View, Wrapper, by_model, gather, hookimpl, scales_of
from fusionkit.errors import PluginError, RecipeError
from fusionkit.loop.partly import chosen
from fusionkit.loop.told import one_or_each
from fusionkit.testing import execute_tiny, tiny_model, tiny_plan, tiny_run
from fusionkit_accdiffusion import PatchContentPrompts
from fusionkit_elasticdiffusion import ElasticDiffusion
from fusionkit_fouriscale import FouriScale, FouriScaleGuidance
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_scalecrafter import NoiseDampedGuidance, ReDilation
from fusionkit_syncdiffusion import SyncDiffusion

TOLD = (Told(), Told(Prompt("a boat", "a hill"), 2.5), Told(None, 1.0))


class Tells(Plugin):
    """Tells the views of the first group something in turn, and keeps the passes that each step takes."""

    told: Any = TOLD
    passes: list[int] = []

    @property
    def other_models(self) -> set[str]:
        return {each.model for each in self.told if isinstance(each, Told) and each.model}

    @hookimpl(wrapper=True)
    def views(self) -> Wrapper[Sequence[Patches]]:
        groups = yield
        count = len(groups[0].views)
        told = self.told if isinstance(self.told, str) else tuple(self.told[n % len(self.told)] for n in range(count))
        return [replace(groups[0], told=told), *groups[1:]]

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage) -> Wrapper[Tensor]:
        before = sum(model.forward_passes for model in stage.models.values())
        prediction = yield
        self.passes.append(sum(model.forward_passes for model in stage.models.values()) - before)
        return prediction


def one_group(told: Sequence[Told] = TOLD, names: Sequence[str] = ("model",), **fields: Any) -> tuple[Stage, Patches]:
    """A stage whose models are there, and three views of noise."""
    stage = tiny_plan([Tells(told=told)], models=names, scheduler="ddim", **fields).stages[0]
    stage.models = {name: tiny_model("sd", seed) for seed, name in enumerate(names)}
    stage.model = stage.models[names[0]]
    views = (View(0, 0, 8, 8), View(0, 0, 8, 8), View(1, 6, 8, 8))
    patches = Patches(views, told=tuple(told), latents=gather(stage.noise("init"), views))
    patches.prompts = [each.prompt or Prompt("a hill") for each in told]
    return stage, patches


def test_each_view_is_guided_as_it_is_told() -> None:
    stage, patches = one_group()
    at, model = stage.steps[0], stage.model
    together = model.predict(stage, at, patches)
    assert model.forward_passes == 5
    for number, scale in enumerate((4.0, 2.5, 1.0)):
        alone = replace(patches.picked([number]), told=())
        assert torch.allclose(model.predict(stage, at, alone, scale), together[number : number + 1], atol=1e-5)
    # A scale of the caller's own is for all.
    everywhere = model.predict(stage, at, patches, 4.0)
    assert everywhere.equal(model.predict(stage, at, replace(patches, told=())))
    assert not everywhere[1].allclose(together[1], atol=1e-3)
    # Two halves of each, and batches of any size.
    cond, uncond = model.predict_pair(stage, at, patches)
    scales = torch.tensor([4.0, 2.5, 1.0]).reshape(-1, 1, 1, 1)
    assert torch.allclose(uncond + scales * (cond - uncond), together, atol=1e-5)
    assert model.predict_without(stage, at, patches).allclose(uncond, atol=1e-5)
    model.batch_size = 1
    assert torch.allclose(model.predict(stage, at, patches), together, atol=1e-5)


def test_outside_of_the_interval_nothing_is_guided() -> None:
    stage, patches = one_group(guidance_interval=[0.0, 0.4])
    assert [scales_of(stage, at, patches) for at in stage.steps] == [[4.0, 2.5, 1.0]] * 2 + [[1.0] * 3]
    assert scales_of(stage, stage.steps[0], patches, 7.0) == [7.0] * 3
    assert one_or_each([4.0, 4.0]) == 4.0
    assert one_or_each([4.0, 1.0]) == [4.0, 1.0]


def test_a_gradient_is_that_of_the_guidance_that_is_told() -> None:
    stage, patches = one_group()
    at, model = stage.steps[0], stage.model

    def loss(number: int, latents: Tensor, prediction: Tensor) -> Tensor:
        return prediction.square().sum()

    together = model.gradients(stage, at, patches, loss)
    plain = model.gradients(stage, at, replace(patches, told=()), loss)
    assert together[0].allclose(plain[0], atol=1e-4)
    assert not together[1].allclose(plain[1], atol=1e-2)


def test_each_view_is_predicted_by_the_model_that_it_is_told() -> None:
    told = (Told(model="other"), Told(), Told(guidance_scale=1.0, model="other"))
    stage, patches = one_group(told, ("model", "other"))
    predictions = {name: model.predict(stage, stage.steps[0], patches) for name, model in stage.models.items()}
    for model in stage.models.values():
        model.forward_passes = 0

    def ask(model: Any, part: Patches) -> Tensor:
        return model.predict(stage, stage.steps[0], part)

    mixed = by_model(stage, patches, ask)
    expected = torch.stack([predictions[name][n] for n, name in enumerate(("other", "model", "other"))])
    assert torch.allclose(mixed, expected, atol=1e-5)
    assert [model.forward_passes for model in stage.models.values()] == [2, 3]
    some = by_model(stage, patches.narrowed([True, False, True], Tells()), ask)
    assert some[1].isnan().all()
    assert torch.allclose(some[[0, 2]], mixed[[0, 2]], atol=1e-5)


def test_a_picked_group_has_all_that_is_each_views_own() -> None:
    _, patches = one_group()
    patches = replace(patches, weights=torch.rand(3, 1, 8, 8), noise=torch.rand(3, 4, 8, 8))
    patches = patches.narrowed([True, False, True], Tells())
    group = patches.picked([2, 0, 2])
    assert group.views == tuple(patches.views[n] for n in (2, 0, 2))
    assert group.told == (TOLD[2], TOLD[0], TOLD[2])
    assert group.prompts == [Prompt("a hill")] * 3
    assert group.left_out[0].predict == (True, True, True)
    for name in ("weights", "noise", "latents"):
        assert getattr(group, name).equal(getattr(patches, name)[[2, 0, 2]]), name
    assert replace(patches, weights=torch.ones(1, 1, 8, 8)).picked([1]).weights.equal(torch.ones(1, 1, 8, 8))  # type: ignore[union-attr]
    assert chosen(patches).told == (TOLD[0], TOLD[2])


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_a_run_takes_exactly_the_passes_that_were_said(kind: Any) -> None:
    tells = Tells(told=(Told(model="other"), Told(guidance_scale=1.0), Told(None, 0.5, "other")), passes=[])
    plan = tiny_plan([tells], kind, ("model", "other"), guidance_interval=[0.0, 0.7])
    latents = execute_tiny(plan, kind)
    # Six views: two by the other model with guidance, and four without.
    assert tells.passes == [8, 8, 8]
    assert plan.forward_passes == 24
    assert not latents.allclose(tiny_run([], kind, guidance_interval=[0.0, 0.7]), atol=1e-3)


def test_what_is_told_as_the_recipe_says_it_changes_nothing() -> None:
    plain = tiny_run(negative_prompt="a sea")
    for told in (Told(), Told(Prompt("a hill")), Told(Prompt("a hill", "a sea"), 4.0, "model", "all")):
        assert tiny_run([Tells(told=(told,))], negative_prompt="a sea").equal(plain)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("a boat", "with told 'a boat'; expected a tuple of 6 Tolds, one a view, or none"),
        ((Prompt("a boat"),), "with told Prompt; expected a tuple of 6 Tolds"),
        ((Told("a boat"),), "with a view told the prompt 'a boat'; expected None or a Prompt"),  # type: ignore[arg-type]
        ((Told(None, -1.0),), "with a view told the guidance_scale -1.0; expected None or a number from 0"),
        ((Told(None, float("nan")),), "with a view told the guidance_scale nan"),
        ((Told(model="rocket"),), "with a view told the model 'rocket'; expected '' or one of model"),
    ],
)
def test_what_can_not_be_told_is_refused_before_the_run(told: Any, says: str) -> None:
    with pytest.raises(PluginError) as error:
        tiny_plan([Tells(told=told)])
    assert says in str(error.value)
    assert str(error.value).endswith("(asked: tells)")


def test_guidance_that_is_told_is_blendings_where_a_role_has_none() -> None:
    blending: Any = SaliencyNoiseBlending(
        models={"model": {}, "other": {"prompt": "a boat", "guidance-scale": 2.0}},  # type: ignore[dict-item]
        blend={"from": 1.0, "to": 0.5},  # type: ignore[arg-type]
    )
    names = ("model", "other")
    tells = Tells(told=(Told(), Told(guidance_scale=1.0)), passes=[])
    plan = tiny_plan([tells, blending], models=names)
    stage, group = plan.stages[0], replace(plan.hooks.ask("views", stage=plan.stages[0], at=plan.stages[0].steps[0])[0])
    at: Step = stage.steps[0]
    assert blending._scales(stage, at, group, "model") == [4.0, 1.0] * 3
    assert blending._scales(stage, at, group, "other") == [2.0] * 6
    latents = execute_tiny(plan)
    # Blended: four passes a view. Then the main model alone: two for every other view.
    assert tells.passes == [24, 9, 9]
    assert plan.forward_passes == 42
    assert not latents.allclose(tiny_run([blending], models=names), atol=1e-3)
    with pytest.raises(PluginError, match="saliency-noise-blending: it says itself which model draws what"):
        tiny_plan([Tells(told=(Told(model="other"),)), blending], models=names)


def test_damped_guidance_follows_what_is_told() -> None:
    damped = [ReDilation(layers={"mid_block*": 2}), NoiseDampedGuidance(layers={"mid_block*": 1.5}, until=0.5)]
    tells = Tells(told=(Told(model="other"), Told(guidance_scale=2.0)), passes=[])
    plan = tiny_plan([*damped, tells], models=("model", "other"))
    execute_tiny(plan)
    assert tells.passes == [18, 18, 12]
    assert plan.forward_passes == 48


def test_fouriscales_guidance_follows_what_is_told() -> None:
    whole = {"size": (192, 192), "window": (192, 192), "steps": 1}
    guided = [FouriScale(), FouriScaleGuidance()]
    one = tiny_run(guided, guidance_scale=2.5, **whole)
    told = Tells(told=(Told(guidance_scale=2.5),), passes=[])
    assert tiny_run([*guided, told], guidance_scale=9, **whole).equal(one)
    assert told.passes == [3]
    # Of the recipe's two models the one that is told.
    other = tiny_plan([*guided, Tells(told=(Told(model="other"),), passes=[])], models=("model", "other"), **whole)
    assert not execute_tiny(other).equal(tiny_run(guided, **whole))


def test_synchronised_windows_follow_what_is_told() -> None:
    tells = Tells(told=(Told(), Told(None, 1.0, "other"), Told()), passes=[])
    sync = SyncDiffusion(loss="tinyworld", threshold=1)
    plan = tiny_plan([tells, sync], models=("model", "other"), size=(160, 64), steps=2)
    execute_tiny(plan)
    # Three windows, of which one is not guided: 5 passes, and as many for gradients and the anchor.
    assert plan.forward_passes == 15
    assert tells.passes == [5, 5]


def test_a_method_whose_windows_hear_no_prompt_says_so() -> None:
    with pytest.raises(PluginError, match="elastic-diffusion: its windows hear no prompt"):
        tiny_plan([ElasticDiffusion(resampling=1), Tells()])


def test_attention_is_read_of_the_views_that_the_main_model_predicts() -> None:
    prompts = PatchContentPrompts(levels=(1,))
    plan = tiny_plan([prompts, Tells(told=(Told(), Told(model="other")))], models=("model", "other"), size=(112, 64))
    execute_tiny(plan)
    attention = prompts.memory(plan.stages[0]).attention
    assert attention.mean("").isfinite().all()


def test_a_model_that_no_view_is_told_to_ask_is_named_before_the_run() -> None:
    tells = Tells(told=(Told(model="second"),))
    tiny_plan([tells], models=("main", "second"))
    with pytest.raises(RecipeError) as error:
        tiny_plan([tells], models=("main", "second", "third"))
    assert str(error.value) == (
        "models 'third': no plugin of this recipe asks any model but 'main', 'second'; add one that does, such as "
        "saliency-noise-blending, or leave them out"
    )
