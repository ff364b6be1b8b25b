"""Saliency-noise-blending: who wins, what each model is asked, and when the models take part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from blending import ROCKET, THREE, TWO, Asked, blending, plan_of, run, step_of
from rounding import rounding
from torch import Tensor

from fusionkit import Fusion, Patches
from fusionkit.testing import Kind, PluginContract, tiny_pipeline
from fusionkit.testing.tiny import KINDS
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_magicfusion.roles import Span
from fusionkit_magicfusion.saliency import guided
from fusionkit_multidiffusion import MultiDiffusion


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
    allowed = rounding(ours, passes=4, guidance=guidance)
    assert float((ours - run([], {"model": 0}, guidance_scale=guidance)).abs().max()) < allowed


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


def test_each_pair_is_asked_for_at_the_roles_own_scale() -> None:
    """Models that take the scale as an input, or guide in a way of their own, answer another pair at another scale."""
    roles = {"scene": {"guidance-scale": 3.0}, "rocket": {**ROCKET, "guidance-interval": [0.5, 1.0]}}
    for number, expected in ((0, [3.0, 1.0]), (3, [3.0, 6.0])):
        _, asked, _ = step_of(blending(roles), number, guidance_scale=6.0)
        assert [asked[name].scales for name in ("scene", "rocket")] == [[each] for each in expected]


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
    assert (given, texts(patches)[1]) == (None, ("the right", "mist")), "None is the recipe's"
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
