"""Saliency-noise-blending: who wins, what each model is asked, when they take part, and every bad input's line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from fusionkit import Fusion, Patches, Plugin, Prompt, Recipe, RecipeError, Stage, Step, View, hookimpl
from fusionkit.canvas import gather
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.models.load import wrap_pipeline
from fusionkit.problems import problems_of
from fusionkit.run import RunPlan, execute, prepare
from fusionkit.stage import Control
from fusionkit.testing import Kind, PluginContract, tiny_controlnet, tiny_pipeline
from fusionkit.testing.tiny import KINDS
from fusionkit_accdiffusion import ControlNet, DilatedSampling, PatchContentPrompts, ProgressiveUpscaling
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_magicfusion.roles import Span
from fusionkit_magicfusion.saliency import blended, guided, log_salience, saliency, smoothed, winners
from fusionkit_multidiffusion import MultiDiffusion

TWO = {"scene": 0, "rocket": 1}
THREE = {**TWO, "flower": 2}
ROCKET = {"prompt": "a rocket"}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plan_of(plugins: Sequence[Plugin], models: Mapping[str, int] = TWO, kind: Kind = "sd", **fields: Any) -> RunPlan:
    """A checked run on tiny models, given by their names and the seeds of their weights."""
    default = {"prompt": "a hill", "size": (64, 64), "scheduler": "ddim", "steps": 4, "guidance_scale": 4.0}
    recipe = Recipe.model_validate({**default, **fields, "plugins": list(plugins)})
    infos = {name: info_of_pipeline(tiny_pipeline(kind, seed)) for name, seed in models.items()}
    return prepare(recipe, next(iter(infos.values())), infos=infos)


def run(plugins: Sequence[Plugin], models: Mapping[str, int] = TWO, kind: Kind = "sd", **fields: Any) -> Tensor:
    """The clean latents of such a run."""
    plan = plan_of(plugins, models, kind, **fields)
    loaded = {name: wrap_pipeline(tiny_pipeline(kind, seed)) for name, seed in models.items()}
    return execute(plan, next(iter(loaded.values())), loaded)


def blending(models: Any = None, **options: Any) -> SaliencyNoiseBlending:
    return SaliencyNoiseBlending(**{"models": models or {"scene": {}, "rocket": ROCKET}, **options})


class TestContract(PluginContract):
    plugin = SaliencyNoiseBlending
    models = ("scene", "rocket")
    options = {"models": {"scene": {}, "rocket": {"prompt": "a rocket", "k": 1.5}}}


class TestContractOfAPanorama(PluginContract):
    plugin = SaliencyNoiseBlending
    models = ("scene", "rocket", "flower")
    before = (MultiDiffusion(stride=32),)
    options = {
        "models": {"scene": {}, "rocket": {"prompt": "a rocket"}, "flower": {"prompt": "a flower"}},
        "smoothing": False,
        "blend": {"from": 1.0, "to": 0.5, "otherwise": "flower"},
    }


# The maths


def test_saliency_is_the_mean_response_to_guidance() -> None:
    cond, baseline = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8)
    cond[0, 0, 3, 4], baseline[0, 1, 3, 4], cond[0, 1, 0, 0] = -2.0, 1.0, 4.0
    found = saliency(cond, baseline, 1.5, smoothing=False)
    assert found.shape == (1, 8, 8)
    assert found[0, 3, 4] == 1.5 * (2 + 1) / 2
    assert found[0, 0, 0] == 1.5 * 4 / 2
    assert int((found > 0).sum()) == 2
    assert torch.allclose(saliency(cond, baseline, 1.5), smoothed(found[:, None])[:, 0])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (3, 16), (5, 8), (33, 12)])
def test_smoothing_keeps_any_size(size: tuple[int, int]) -> None:
    maps = normal(2, 3, *size).abs()
    smooth = smoothed(maps)
    assert smooth.shape == maps.shape
    assert bool((smooth >= 0).all())
    assert float(smooth.max()) <= float(maps.max())
    assert smoothed(2 * maps).allclose(2 * smooth)


def test_smoothing_is_a_mean_over_four_by_four_pixels() -> None:
    impulse = torch.zeros(1, 1, 16, 16)
    impulse[..., 8, 8] = 16
    smooth = smoothed(impulse)
    assert float(smooth.sum()) == pytest.approx(16, rel=0.15)
    assert float(smooth.max()) == pytest.approx(1.0)
    rows, columns = smooth[0, 0].nonzero().T
    assert {int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())} <= set(range(6, 12))
    flat = smoothed(torch.ones(1, 1, 16, 16))[0, 0]
    assert flat[4:12, 4:12].equal(torch.ones(8, 8))
    assert float(flat[0, 0]) == pytest.approx(9 / 16)


@pytest.mark.parametrize("k", [0.1, 1.0, 7.0])
def test_the_log_of_the_softmax_over_all_pixels_of_a_view(k: float) -> None:
    maps = normal(3, 7, 5).abs()
    softmax = (k * maps).flatten(1).softmax(1).view_as(maps)
    assert (log_salience(maps, k).exp() / 35).allclose(softmax, rtol=1e-5)
    assert log_salience(torch.full((1, 4, 4), 3.0), k).equal(torch.zeros(1, 4, 4))


def test_a_large_k_leaves_no_ties() -> None:
    one, two = 40 * normal(1, 32, 32).abs(), 40 * normal(1, 32, 32, seed=1).abs()
    plain = [(100 * maps).flatten(1).softmax(1).view_as(maps) for maps in (one, two)]
    ties = plain[0] == plain[1]
    assert float(ties.float().mean()) > 0.9, "a softmax in float32 tells nothing here"
    exact = [(100 * maps.double()).flatten(1).log_softmax(1).view_as(maps) for maps in (one, two)]
    assert winners([log_salience(one, 100), log_salience(two, 100)]).equal((exact[1] > exact[0]).long())


def test_small_differences_are_not_drowned() -> None:
    one, two = 1e-6 * normal(1, 64, 64).abs(), 1e-6 * normal(1, 64, 64, seed=1).abs()
    exact = [maps.double().flatten(1).log_softmax(1).view_as(maps) for maps in (one, two)]
    found = winners([log_salience(one, 1), log_salience(two, 1)])
    assert float((found == (exact[1] > exact[0])).float().mean()) > 0.9


def test_winners_and_what_they_predict() -> None:
    saliences = [torch.tensor([[[0.0, 3.0], [1.0, -1.0]]]), torch.tensor([[[1.0, 2.0], [1.0, 0.0]]])]
    winner = winners(saliences)
    assert winner.tolist() == [[[1, 0], [0, 1]]]
    one, two = normal(1, 4, 2, 2), normal(1, 4, 2, 2, seed=1)
    mixed = blended([one, two], winner)
    assert mixed[..., 0, 0].equal(two[..., 0, 0])
    assert mixed[..., 0, 1].equal(one[..., 0, 1])
    assert mixed[..., 1, 0].equal(one[..., 1, 0])
    assert mixed[..., 1, 1].equal(two[..., 1, 1])


# Whole runs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheduler", ["ddim", "euler-a", "dpm++-2m"])
def test_identical_models_give_exactly_the_single_models_picture(kind: Kind, scheduler: str) -> None:
    alone = run([], {"model": 0}, kind, scheduler=scheduler)
    same = {"prompt": "a hill"}
    for models in ({"a": 0, "b": 0}, {"a": 0, "b": 0, "c": 0}):
        plugin = blending(dict.fromkeys(models, same))
        assert run([plugin], models, kind, scheduler=scheduler).equal(alone)
    # With different factors, one or the other wins: what they predict is still the same.
    assert run([blending({"a": {**same, "k": 0.2}, "b": same})], {"a": 0, "b": 0}, kind, scheduler=scheduler).equal(
        alone
    )
    assert not run([blending({"a": {}, "b": same})], {"a": 0, "b": 1}, kind, scheduler=scheduler).equal(alone)


@pytest.mark.parametrize("guidance", [1.0, 0.0, 4.0])
def test_identical_models_at_any_guidance_scale(guidance: float) -> None:
    same = {name: {"prompt": "a hill"} for name in ("a", "b")}
    ours = run([blending(same)], {"a": 0, "b": 0}, guidance_scale=guidance)
    assert float((ours - run([], {"model": 0}, guidance_scale=guidance)).abs().max()) < 1e-5


@pytest.mark.parametrize("smoothing", [True, False])
def test_the_order_of_the_models_changes_nothing(smoothing: bool) -> None:
    roles = {"scene": {"prompt": "a hill"}, "rocket": ROCKET, "flower": {"prompt": "a flower", "k": 1.1}}
    first = run([blending(roles, smoothing=smoothing)], THREE)
    backwards = dict(reversed(roles.items()))
    assert run([blending(backwards, smoothing=smoothing)], THREE).equal(first)
    for models in ({"rocket": 1, "scene": 0, "flower": 2}, dict(reversed(THREE.items()))):
        assert run([blending(backwards, smoothing=smoothing)], models).equal(first)
        assert run([blending(roles, smoothing=smoothing)], models).equal(first)


def test_models_that_tie_everywhere_do_so_in_any_order() -> None:
    # With the negative prompt for a prompt, guidance does nothing: all saliencies are 0.
    roles = {name: {"prompt": "fog", "negative-prompt": "fog"} for name in TWO}
    first = run([blending(roles)], TWO)
    assert run([blending(dict(reversed(roles.items())))], dict(reversed(TWO.items()))).equal(first)
    # The one that is the first in the alphabet draws it all.
    alone = [run([blending(roles, blend={"from": 0.01, "otherwise": name})], TWO) for name in ("rocket", "scene")]
    assert [first.equal(each) for each in alone] == [True, False]


def test_three_models_all_have_their_part() -> None:
    roles = {"scene": {}, "rocket": ROCKET, "flower": {"prompt": "a flower"}}
    both = [run([blending({name: roles[name] for name in names})], THREE) for names in (("scene", "rocket"), roles)]
    assert float((both[0] - both[1]).abs().max()) > 1e-2


# What is asked of the models, and what is made of it


@dataclass
class Asked:
    """A model that answers by what it is asked and keeps it."""

    name: str
    cond: Tensor
    uncond: Tensor
    pairs: list[Patches] = field(default_factory=list)
    alone: list[tuple[Patches, float | None]] = field(default_factory=list)

    device = torch.device("cpu")

    def predict_pair(self, stage: Stage, at: Step, patches: Patches) -> tuple[Tensor, Tensor]:
        self.pairs.append(patches)
        return self.cond, self.uncond

    def predict(self, stage: Stage, at: Step, patches: Patches, guidance_scale: float | None = None) -> Tensor:
        self.alone.append((patches, guidance_scale))
        return self.uncond


def step_of(
    plugin: SaliencyNoiseBlending, number: int = 0, models: Mapping[str, int] = TWO, **fields: Any
) -> tuple[Tensor, dict[str, Asked], Patches]:
    """One prediction of two views of a canvas, what the models were asked, and the patches."""
    shape = (2, 4, 8, 8)
    asked = {
        name: Asked(name, normal(*shape, seed=seed), normal(*shape, seed=seed + 50)) for name, seed in models.items()
    }
    plan = plan_of([plugin], models, **{"size": (128, 64), "negative_prompt": "fog", **fields})
    stage = plan.stages[0]
    stage.models = dict(asked)  # type: ignore[arg-type]
    stage.model = next(iter(stage.models.values()))
    views = (View(0, 0, 8, 8), View(0, 8, 8, 8))
    prompts = [Prompt("the left"), Prompt("the right", "mist")]
    patches = Patches(views, latents=normal(*shape, seed=99), prompts=prompts, controls=(Control(None, None),))  # type: ignore[arg-type]
    answer = plan.hooks.ask("noise_prediction", stage=stage, at=stage.steps[number], patches=patches)
    return answer, asked, patches


def expected(
    asked: Mapping[str, Asked], k: Mapping[str, float], scale: Mapping[str, float], smoothing: bool, shared: str = ""
) -> Tensor:
    """The blended prediction in float64, written down again."""
    names = list(asked)
    saliences = []
    for name in names:
        model = asked[name]
        baseline = asked[shared].uncond if shared else model.uncond
        response = (scale[name] * (model.cond - baseline).double()).abs()
        if smoothing:
            pooled = torch.nn.functional.avg_pool2d(response, 4, 1, 1)
            response = torch.nn.functional.interpolate(pooled, response.shape[-2:], mode="bilinear")
        saliences.append((k[name] * response.mean(1)).flatten(1).softmax(1).view(2, 8, 8))
    winner = torch.stack(saliences).argmax(0)
    predictions = [guided(asked[name].cond, asked[name].uncond, scale[name]) for name in names]
    return torch.where((winner == 0)[:, None], predictions[0], predictions[1])


@pytest.mark.parametrize("smoothing", [True, False])
@pytest.mark.parametrize("baseline", ["own", "shared"])
def test_a_prediction_with_each_models_own_options(smoothing: bool, baseline: str) -> None:
    roles = {"scene": {"guidance-scale": 3.0, "k": 0.7}, "rocket": {**ROCKET, "guidance-scale": 2.0, "k": 1.3}}
    answer, asked, _ = step_of(blending(roles, smoothing=smoothing, baseline=baseline))
    options = {"k": {"scene": 0.7, "rocket": 1.3}, "scale": {"scene": 3.0, "rocket": 2.0}}
    found = {
        (smooth, shared): bool(answer.equal(expected(asked, **options, smoothing=smooth, shared=shared)))  # type: ignore[arg-type]
        for smooth in (True, False)
        for shared in ("", "scene")
    }
    assert [case for case, same in found.items() if same] == [(smoothing, "scene" if baseline == "shared" else "")]
    for wrong in ({"k": {"scene": 1.0, "rocket": 1.3}}, {"scale": {"scene": 4.0, "rocket": 2.0}}):
        mistaken = expected(
            asked, **{**options, **wrong}, smoothing=smoothing, shared="scene" if baseline == "shared" else ""
        )
        assert not answer.equal(mistaken)


def texts(patches: Patches) -> list[tuple[str, str | None]]:
    return [(prompt.text, prompt.negative) for prompt in patches.prompts]  # type: ignore[union-attr]


def test_each_model_is_asked_with_its_own_prompts() -> None:
    roles = {"rocket": {**ROCKET, "negative-prompt": "clouds"}, "scene": {}, "flower": {"prompt": "a flower"}}
    _, asked, patches = step_of(blending(roles), models=THREE)
    (scene,), (rocket,), (flower,) = (asked[name].pairs for name in ("scene", "rocket", "flower"))
    assert texts(scene) == [("the left", None), ("the right", "mist")]
    assert texts(rocket) == [("a rocket", "clouds")] * 2
    assert texts(flower) == [("a flower", None)] * 2
    assert all(
        each.controls == patches.controls and each.latents is patches.latents for each in (scene, rocket, flower)
    )
    assert texts(patches) == [("the left", None), ("the right", "mist")], "the loop's own patches stay as they are"

    _, asked, _ = step_of(blending({"scene": {"prompt": "a lake"}, "rocket": ROCKET}))
    assert texts(asked["scene"].pairs[0]) == [("a lake", None), ("a lake", "mist")]
    _, asked, _ = step_of(blending({"scene": {"negative_prompt": "night"}, "rocket": ROCKET}))
    assert texts(asked["scene"].pairs[0]) == [("the left", "night"), ("the right", "night")]


def test_one_model_draws_alone_outside_the_span() -> None:
    roles = {"scene": {"guidance-scale": 3.0}, "rocket": {**ROCKET, "guidance-scale": 1.0}}
    for otherwise, scale in ((None, 3.0), ("scene", 3.0), ("rocket", 1.0)):
        plugin = blending(roles, blend={"from": 0.5, "to": 0.0, "otherwise": otherwise})
        answer, asked, _ = step_of(plugin, 0)
        name = otherwise or "scene"
        ((patches, given),) = asked[name].alone
        assert given == scale
        assert texts(patches)[0] == (("a rocket", None) if name == "rocket" else ("the left", None))
        assert answer.equal(asked[name].uncond)
        assert not any(model.pairs for model in asked.values())
        assert not any(model.alone for other, model in asked.items() if other != name)
        _, asked, _ = step_of(plugin, 3)
        assert [len(model.pairs) for model in asked.values()] == [1, 1]


def test_a_model_that_only_draws_outside_has_the_recipes_options() -> None:
    plugin = blending({"rocket": ROCKET, "flower": {"prompt": "a flower"}}, blend={"from": 1.0, "to": 0.5})
    _, asked, _ = step_of(plugin, 3, THREE, guidance_scale=6.0)
    ((patches, given),) = asked["scene"].alone
    assert (given, texts(patches)[1]) == (6.0, ("the right", "mist"))
    _, asked, _ = step_of(plugin, 0, THREE)
    assert [len(asked[name].pairs) for name in THREE] == [0, 1, 1]


@pytest.mark.parametrize(
    ("span", "blended_at"),
    [
        ({}, [0, 1, 2, 3]),
        ({"from": 1.0, "to": 0.6}, [0]),
        ({"to": 0.501}, [0]),
        ({"to": 0.5}, [0, 1]),
        ({"from": 501}, [1, 2, 3]),
        ({"from": 0.501}, [1, 2, 3]),
        ({"from": 500}, [2, 3]),
        ({"from": 600, "to": 251}, [1]),
        ({"from": 600, "to": 0.2}, [1, 2]),
        ({"to": 501}, [0]),
        ({"from": 0.01}, [3]),
        ({"from": 0.01, "to": 0}, [3]),
    ],
)
def test_when_the_models_take_part(span: dict[str, float], blended_at: list[int]) -> None:
    plugin = blending(blend=span)
    plan = plan_of([plugin])
    (stage,) = plan.stages
    assert [int(at.timestep) for at in stage.steps] == [751, 501, 251, 1]
    assert [at.index for at in stage.steps if plugin.takes_part(stage, at)] == blended_at
    # Two models with and without prompt, or one of them.
    assert plan.forward_passes == 4 * len(blended_at) + 2 * (4 - len(blended_at))


def test_the_ends_of_the_run_belong_to_the_whole_span() -> None:
    whole = Span()
    assert all(whole.holds(remaining, 1000) for remaining in (1.0, 1.001, 0.5, 0.0))
    assert Span(to=0.5).holds(1.0, 1000)
    assert not Span(from_=0.5, to=0.2).holds(0.2, 1000)


def test_forward_passes_are_as_planned() -> None:
    roles = {"scene": {"guidance-scale": 1.0}, "rocket": ROCKET, "flower": {"prompt": "a flower"}}
    pipes = {name: tiny_pipeline("sd", seed) for name, seed in THREE.items()}
    plugins = [MultiDiffusion(stride=32), blending(roles, blend={"from": 0.6})]
    fusion = Fusion.from_pipes(pipes, plugins=plugins, size=(128, 64), steps=4, scheduler="ddim", guidance_scale=4.0)
    # Three views: one step of the main model without guidance, three of three models with and without prompt.
    assert fusion.plan().forward_passes == 3 * (1 + 3 * 6)
    assert fusion("a hill", progress=False).forward_passes == 3 * (1 + 3 * 6)


def predicting(kind: str, seed: int) -> Any:
    """A tiny pipeline whose denoiser's answers are taken for something else."""
    pipe = tiny_pipeline("sd", seed)
    scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, prediction_type=kind)
    return type(pipe)(**{**pipe.components, "scheduler": scheduler}, requires_safety_checker=False)


@pytest.mark.parametrize("other", ["v_prediction", "sample"])
def test_models_that_predict_different_things_are_compared_alike(other: str) -> None:
    pipes = {"scene": predicting("epsilon", 0), "rocket": predicting(other, 1)}
    plugin = blending({"scene": {"prompt": "a hill"}, "rocket": {**ROCKET, "k": 0.7}})
    fields: Any = {"size": (64, 64), "steps": 3, "scheduler": "ddim", "guidance_scale": 4.0, "plugins": [plugin]}
    found = [
        Fusion.from_pipes(models, **fields)("a hill", maps=True, progress=False)
        for models in (pipes, dict(reversed(pipes.items())))
    ]
    # Whoever is the main one, the same pixels are won: only rounding differs.
    assert float((found[0].latents - found[1].latents).abs().max()) < 1e-2
    shares = [result.maps["shares"].info["shares"] for result in found]
    assert shares[0] == shares[1]
    assert all(0.05 < share < 0.95 for share in shares[0]["rocket"])


# Together with others


def test_each_view_of_a_panorama_is_blended_by_itself() -> None:
    seen: list[Any] = []
    fields: Any = {"size": (160, 80), "steps": 2}
    run([MultiDiffusion(stride=32), Seen(seen=seen), blending()], **fields)
    plan = plan_of([MultiDiffusion(stride=32), blending()], **fields)
    (stage,) = plan.stages
    stage.models = {name: wrap_pipeline(tiny_pipeline("sd", seed)) for name, seed in TWO.items()}
    stage.model = stage.models["scene"]
    assert [len(patches.views) for _, patches, _ in seen] == [8, 8]
    for at, patches, answer in seen:
        for number, view in enumerate(patches.views):
            one = Patches(
                (view,), latents=patches.latents[number : number + 1], prompts=patches.prompts[number : number + 1]
            )
            alone = plan.hooks.ask("noise_prediction", stage=stage, at=at, patches=one)
            assert float((alone - answer[number : number + 1]).abs().max()) < 1e-4


class Seen(Plugin):
    """Keeps every group and what is predicted for it."""

    seen: Any

    @hookimpl(wrapper=True)
    def noise_prediction(self, at: Step, patches: Patches) -> Any:
        answer = yield
        self.seen.append((at, replace(patches), answer))
        return answer


@pytest.mark.parametrize("kind", KINDS)
def test_it_works_in_an_upscaling_with_dilated_samples(kind: Kind) -> None:
    seen: list[Any] = []
    plugins = [
        ProgressiveUpscaling(),
        MultiDiffusion(stride=32),
        blending(),
        Seen(seen=seen),
        DilatedSampling(),
    ]
    fields: Any = {"size": (128, 128), "steps": 2}
    latents = run(plugins, TWO, kind, **fields)
    assert latents.shape == (1, 4, 16, 16)
    assert {patches.kind for _, patches, _ in seen} == {"window", "dilated"}
    same = {"prompt": "a hill"}
    twice = [*plugins[:2], blending({"scene": same, "rocket": same}), DilatedSampling()]
    assert run(twice, {"scene": 0, "rocket": 0}, kind, **fields).equal(
        run([*plugins[:2], DilatedSampling()], {"model": 0}, kind, **fields)
    )


def test_a_view_is_blended_over_its_own_dilated_pixels() -> None:
    view, other = View(0, 0, 8, 8, 2), View(1, 1, 8, 8, 2)
    canvas = normal(1, 4, 16, 16)
    assert gather(canvas, [view, other]).shape == (2, 4, 8, 8)
    plan = plan_of([blending()], size=(128, 128))
    (stage,) = plan.stages
    stage.models = {name: wrap_pipeline(tiny_pipeline("sd", seed)) for name, seed in TWO.items()}
    stage.model = stage.models["scene"]
    patches = Patches((view, other), "dilated", latents=gather(canvas, [view, other]), prompts=[Prompt("a hill")] * 2)
    plan.hooks.ask("noise_prediction", stage=stage, at=stage.steps[0], patches=patches)
    # Half of the rows, and half of the columns, belong to each of the two.
    counts = stage.memory["saliency-noise-blending"]._counts[0].sum(0)
    assert float(counts.sum()) == 2 * 64
    assert bool((counts[::2, ::2] == 1).all())
    assert bool((counts[1::2, 1::2] == 1).all())


def test_attention_of_the_main_model_is_read_undisturbed() -> None:
    fields: Any = {"size": (128, 128), "steps": 2, "prompt": "a red hill"}
    plugins = [ProgressiveUpscaling(), MultiDiffusion(stride=32), PatchContentPrompts(levels=(1,))]
    for span in ({}, {"to": 0.4, "otherwise": "rocket"}, {"from": 0.4, "otherwise": "rocket"}):
        assert bool(run([*plugins, blending(blend=span)], **fields).isfinite().all())
    same = {"prompt": "a red hill"}
    # The prompts of the views are those of the main model; the expert's stays whole.
    assert not run([*plugins, blending({"scene": {}, "rocket": same})], {"scene": 0, "rocket": 0}, **fields).equal(
        run([*plugins[:2], blending({"scene": {}, "rocket": same})], {"scene": 0, "rocket": 0}, **fields)
    )


class Steered(Plugin):
    """A ControlNet with a hint of noise, on all predictions."""

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, patches: Patches) -> Any:
        height, width = (side * stage.factor for side in stage.canvas)
        hint = stage.noise("hint", (1, 3, height, width)).sigmoid()
        patches.controls = (Control(tiny_controlnet("sd"), hint, 1.0),)
        try:
            return (yield)
        finally:
            patches.controls = ()


def test_all_models_are_steered() -> None:
    steered = run([blending(), Steered()])
    assert float((steered - run([blending()])).abs().max()) > 1e-3
    same = {name: {"prompt": "a hill"} for name in TWO}
    assert run([blending(same), Steered()], {"scene": 0, "rocket": 0}).equal(run([Steered()], {"model": 0}))


def test_a_controlnet_must_fit_all_models(tmp_path: Path) -> None:
    tiny_controlnet("sd").save_pretrained(tmp_path / "net")
    info = info_of_pipeline(tiny_pipeline("sd"))
    infos = {"scene": info, "rocket": replace(info, name="another", cross_attention_dim=24)}
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    plugins = [blending(), ControlNet(model=str(tmp_path / "net"), annotator="none", from_=tmp_path / "a.png")]
    with pytest.raises(RecipeError) as raised:
        prepare(Recipe(prompt="a hill", size=(64, 64), plugins=plugins), info, infos=infos)
    (line,) = raised.value.problems
    assert "does not fit model 'another': its cross_attention_dim is 16, not 24" in line


# Bad input


def told(options: Any) -> list[str]:
    with pytest.raises(ValidationError) as raised:
        SaliencyNoiseBlending.model_validate(options)
    return problems_of(raised.value, SaliencyNoiseBlending, "saliency-noise-blending")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, "'models' of saliency-noise-blending is missing"),
        (
            {"models": {"scene": {}}},
            "'models' of saliency-noise-blending must name two of the recipe's models or more, not only 'scene'; one "
            "model needs no blending",
        ),
        (
            {"models": {}},
            "'models' of saliency-noise-blending must name two of the recipe's models or more, not none; one model "
            "needs no blending",
        ),
        (
            {"models": ["scene", "rocket"]},
            "'models' of saliency-noise-blending must be a mapping of options, not ['scene', 'rocket']",
        ),
        (
            {"models": {"scene": None, "rocket": {"k": 0}}},
            "'models.rocket.k' of saliency-noise-blending must be more than 0, not 0",
        ),
        (
            {"models": {"scene": None, "rocket": {"k": -1.5}}},
            "'models.rocket.k' of saliency-noise-blending must be more than 0, not -1.5",
        ),
        (
            {"models": {"scene": None, "rocket": {"k": True}}},
            "'models.rocket.k' of saliency-noise-blending must be a number, not true",
        ),
        (
            {"models": {"scene": None, "rocket": {"k": float("nan")}}},
            "'models.rocket.k' of saliency-noise-blending must be a number, not nan",
        ),
        (
            {"models": {"scene": None, "rocket": {"guidance-scale": -1}}},
            "'models.rocket.guidance-scale' of saliency-noise-blending must be at least 0, not -1",
        ),
        (
            {"models": {"scene": None, "rocket": {"promt": "a rocket"}}},
            "'models.rocket' of saliency-noise-blending has no option 'promt'; did you mean 'prompt'?",
        ),
        (
            {"models": {"scene": None, "rocket": "a rocket"}},
            "'models.rocket' of saliency-noise-blending must be a mapping of options, not 'a rocket'",
        ),
        (
            {"models": {"scene": None, "rocket": None}, "blend": {"from": 0.2, "to": 0.6}},
            "'blend' of saliency-noise-blending is reversed: from 0.2 to 0.6; a run goes down to 0, so 'from' must be "
            "the larger, such as {from: 1.0, to: 0.6}",
        ),
        (
            {"models": {"scene": None, "rocket": None}, "blend": {"from": 600, "to": 600}},
            "'blend' of saliency-noise-blending is empty: from 600 to 600; a run goes down to 0, so 'from' must be the "
            "larger, such as {from: 1.0, to: 0.6}",
        ),
        (
            {"models": {"scene": None, "rocket": None}, "blend": {"from": 0, "to": 0}},
            "'blend' of saliency-noise-blending is empty: from 0 to 0; a run goes down to 0, so 'from' must be the "
            "larger, such as {from: 1.0, to: 0.6}",
        ),
        (
            {"models": {"scene": None, "rocket": None}, "blend": {"until": 0.2}},
            "'blend' of saliency-noise-blending has no option 'until'; it has: from, to, otherwise",
        ),
        (
            {"models": {"scene": None, "rocket": None}, "blend": {"to": -1}},
            "'blend.to' of saliency-noise-blending must be at least 0, not -1",
        ),
        (
            {"models": {"scene": None, "rocket": None}, "baseline": "share"},
            "'baseline' of saliency-noise-blending must be 'own' or 'shared', not 'share'; did you mean 'shared'?",
        ),
    ],
)
def test_bad_options(options: Any, line: str) -> None:
    assert told(options) == [line]


@pytest.mark.parametrize(
    ("plugin", "models", "line"),
    [
        (
            blending({"scene": {}, "rokcet": ROCKET}),
            TWO,
            "models names 'rokcet', which is none of the recipe's models; did you mean 'rocket'?; there are: scene, "
            "rocket",
        ),
        (
            blending(blend={"to": 0.5, "otherwise": "cartoon"}),
            TWO,
            "otherwise names 'cartoon', which is none of the recipe's models; there are: scene, rocket",
        ),
        (
            blending(),
            {"model": 0},
            "the recipe has one model, 'model'; it needs two or more: models: {scene: SOURCE, rocket: SOURCE} in place "
            "of model",
        ),
        (
            blending({"scene": {}, "rocket": {"k": 2}}),
            TWO,
            "model 'rocket' has no prompt; give it one of its own, rocket: {prompt: ...}, as the recipe's prompt is "
            "for the main model, 'scene'",
        ),
        (
            blending({"scene": {}, "rocket": {"prompt": " "}}),
            TWO,
            "model 'rocket' has no prompt; give it one of its own, rocket: {prompt: ...}, as the recipe's prompt is "
            "for the main model, 'scene'",
        ),
        (
            blending(blend={"to": 0.5, "otherwise": "flower"}),
            THREE,
            "model 'flower' has no prompt; give it one of its own, flower: {prompt: ...}, as the recipe's prompt is "
            "for the main model, 'scene'",
        ),
        (
            blending({"rocket": ROCKET, "flower": ROCKET}, baseline="shared"),
            THREE,
            "baseline 'shared' is that of the main model, 'scene', which takes no part; add it to models, or use "
            "baseline: own",
        ),
        (
            blending(blend={"from": 600, "to": 0.8}),
            TWO,
            "blend is reversed: from 600 to 0.8; a run goes down to 0, so 'from' must be the larger, such as "
            "{from: 1.0, to: 0.6}",
        ),
        (
            blending(blend={"from": 0.4, "to": 0.3}),
            TWO,
            "blend from 0.4 to 0.3 holds no step; the steps' timesteps (and the fraction that is left) are 751 (0.75), "
            "501 (0.50), 251 (0.25), 1 (0.00)",
        ),
    ],
)
def test_bad_input_is_found_before_the_models_load(
    plugin: SaliencyNoiseBlending, models: Mapping[str, int], line: str
) -> None:
    with pytest.raises(RecipeError) as raised:
        plan_of([plugin], models)
    assert raised.value.problems == [f"saliency-noise-blending: {line}"]


def test_several_problems_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as raised:
        plan_of([blending({"scene": {}, "rocket": {}, "robot": ROCKET})])
    assert [line.split("; ")[0] for line in raised.value.problems] == [
        "saliency-noise-blending: models names 'robot', which is none of the recipe's models",
        "saliency-noise-blending: model 'rocket' has no prompt",
    ]


def test_options_read_back() -> None:
    plugin = blending(
        {"scene": None, "rocket": {"prompt": "a rocket", "negative-prompt": "fog", "guidance-scale": 3, "k": 2}},
        blend={"from": 600, "otherwise": "rocket"},
    )
    written = plugin.options()
    assert written["blend"] == {"from": 600.0, "otherwise": "rocket"}
    assert written["models"]["rocket"] == {
        "prompt": "a rocket",
        "negative-prompt": "fog",
        "guidance-scale": 3.0,
        "k": 2.0,
    }
    assert SaliencyNoiseBlending(**written).options() == written
