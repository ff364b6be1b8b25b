"""Weighted-mean: what each model counts, by the step and by the place, what it is asked, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from fusionkit import Patches, Plugin, Prompt, RecipeError, Stage, View, Wrapper, hookimpl
from fusionkit.errors import PluginError
from fusionkit.loop.patches import LeftOut
from fusionkit.models.load import wrap_pipeline
from fusionkit.recipe.problems import problems_of
from fusionkit.recipe.schema import inline
from fusionkit.testing import PluginContract, execute_tiny, tiny_pipeline, tiny_plan, tiny_run
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_gvcf import GuidedFusion
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_multidiffusion import MultiDiffusion, Ring
from fusionkit_regions import Box, Regions
from fusionkit_weightedmean import MeanOfModels, Stretch
from fusionkit_weightedmean.weights import belongs

TWO = ("a", "b")
THREE = ("a", "b", "c")


class TestContract(PluginContract):
    plugin = MeanOfModels
    models = TWO
    options = {
        "models": {"a": 0.7, "b": {"weight": 0.3, "adds": "in oil", "guidance_scale": 2}},
        "spans": {"end": {"from": 0.5, "weights": {"b": 1}}},
        "soft_change": 0.4,
        "boxes": {"left": {"box": (0, 8, 40, 56), "weights": {"a": 1.5, "b": -0.5}}},
    }
    neutral = {
        "models": {"a": 0.3, "b": 0},
        "spans": {"end": {"from": 0.5, "weights": {"a": 0.3}}},
        "soft_change": 0.4,
        "boxes": {"left": {"box": (0, 8, 40, 56), "weights": {"a": 0.7}}},
    }


class Asked(Plugin):
    """Keeps how many views go through each model in each group, and what is predicted."""

    passes: list[dict[str, int]]

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage) -> Wrapper[Tensor]:
        before = {name: model.forward_passes for name, model in stage.models.items()}
        answer = yield
        self.passes.append({name: model.forward_passes - before[name] for name, model in stage.models.items()})
        return answer


def counted(plugins: Sequence[Plugin], models: Sequence[str] = TWO, **fields: Any) -> list[dict[str, int]]:
    """The passes of each model, group by group; in all they are what was said before."""
    asked = Asked(passes=[])
    plan = tiny_plan([*plugins, asked], models=models, **{"size": (64, 64), **fields})
    execute_tiny(plan)
    assert plan.forward_passes == sum(sum(each.values()) for each in asked.passes)
    return asked.passes


def one_step(plugin: Plugin, models: Sequence[str] = TWO, **fields: Any) -> tuple[Any, Stage, Patches]:
    """A run's hooks, a stage with its models loaded, and a group of its two views, with latents and prompts."""
    plan = tiny_plan([plugin], models=models, **{"size": (128, 64), "steps": 4, "scheduler": "ddim", **fields})
    stage = plan.stages[0]
    stage.models = {name: wrap_pipeline(tiny_pipeline("sd", seed)) for seed, name in enumerate(models)}
    stage.model = stage.models[models[0]]
    views = (View(0, 0, 8, 8), View(0, 8, 8, 8))
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    return plan.hooks, stage, Patches(views, latents=latents, prompts=[Prompt("the left"), Prompt("the right", "fog")])


def predicted(stage: Stage, patches: Patches, name: str, number: int = 0) -> Tensor:
    return stage.models[name].predict(stage, stage.steps[number], patches)


# The mean


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ({"a": 0.7, "b": 0.3}, (0.7, 0.3)),
        ({"a": 7, "b": 3}, (0.7, 0.3)),
        ({}, (0.5, 0.5)),
        ({"a": 1.5, "b": -0.5}, (1.5, -0.5)),
        ({"b": {"weight": 2}}, (0, 1)),
    ],
)
def test_a_prediction_is_the_mean_by_weights_divided_by_their_sum(
    weights: dict[str, Any], shares: tuple[float, float]
) -> None:
    hooks, stage, patches = one_step(MeanOfModels(models=weights))
    answer = hooks.ask("noise_prediction", stage=stage, at=stage.steps[0], patches=patches)
    a, b = (predicted(stage, patches, name) for name in TWO)
    assert answer.allclose(shares[0] * a + shares[1] * b, atol=1e-5)
    assert not a.allclose(b, atol=1e-2)


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_one_model_of_weight_draws_as_it_does_alone(kind: Any) -> None:
    fields = {"size": (160, 80), "scheduler": "euler-a"}
    alone = tiny_run([MultiDiffusion(stride=32)], kind, **fields)
    for options in ({"models": {"a": 0.3, "b": 0}}, {"models": {"a": 1}, "boxes": {}}):
        mean = MeanOfModels(**options)
        assert tiny_run([MultiDiffusion(stride=32), mean], kind, TWO[: len(options["models"])], **fields).equal(alone)


def test_the_order_of_the_weights_changes_nothing() -> None:
    some = {"a": 0.5, "b": 0.3, "c": 0.2}
    backwards = dict(reversed(some.items()))
    fields: Any = {"size": (64, 64), "steps": 2}
    first, second = (tiny_run([MeanOfModels(models=each)], models=THREE, **fields) for each in (some, backwards))
    assert first.equal(second)
    assert not first.equal(tiny_run([MeanOfModels(models={"a": 0.5, "b": 0.5})], models=TWO, **fields))


def test_what_a_model_is_asked() -> None:
    models = {"a": 1, "b": {"adds": "in oil", "guidance-scale": 2}, "c": {"prompt": "a lake", "negative-prompt": "ice"}}
    hooks, stage, patches = one_step(MeanOfModels(models=models), THREE)
    answer = hooks.ask("noise_prediction", stage=stage, at=stage.steps[0], patches=patches)
    said = [
        predicted(stage, patches, "a"),
        stage.models["b"].predict(
            stage,
            stage.steps[0],
            replace(patches, prompts=[Prompt("the left in oil"), Prompt("the right in oil", "fog")]),
            2.0,
        ),
        predicted(stage, replace(patches, prompts=[Prompt("a lake", "ice")] * 2), "c"),
    ]
    assert answer.allclose(sum(said) / 3, atol=1e-5)
    assert [prompt.text for prompt in patches.prompts] == ["the left", "the right"]  # type: ignore[union-attr]


# By the step


@pytest.mark.parametrize(
    ("span", "soft", "found"),
    [
        ({"from": 1.0, "to": 0.6}, 0, [1, 0, 0, 0]),
        ({"from": 0.6}, 0, [0, 1, 1, 1]),
        ({"from": 600, "to": 251}, 0, [0, 1, 0, 0]),
        ({"from": 0.5}, 0.5, [0, 0.498, 0.998, 1]),
        ({"from": 0.5}, 500, [0, 0.498, 0.998, 1]),
        ({"to": 0.5}, 0.5, [1, 0.502, 0.002, 0]),
        ({}, 0.5, [1, 1, 1, 1]),
    ],
)
def test_how_much_of_a_step_is_a_spans(span: dict[str, float], soft: float, found: list[float]) -> None:
    stretch = Stretch.model_validate({**span, "weights": {"a": 1}})
    times = (0.751, 0.501, 0.251, 0.001)
    assert [belongs(stretch, time, 1000, soft) for time in times] == pytest.approx(found)


def test_each_model_draws_its_span_and_costs_nothing_outside() -> None:
    spans = {"first": {"to": 0.4, "weights": {"a": 1}}, "then": {"from": 0.4, "weights": {"b": 1}}}
    fields = {"steps": 4, "scheduler": "ddim"}
    passes = counted([MeanOfModels(models={"a": 1}, spans=spans)], **fields)
    assert passes == [{"a": 2, "b": 0}] * 2 + [{"a": 0, "b": 2}] * 2
    # Between them, both are asked.
    passes = counted([MeanOfModels(models={"a": 1}, spans=spans, soft_change=0.29)], **fields)
    assert passes == [{"a": 2, "b": 0}, {"a": 2, "b": 2}, {"a": 0, "b": 2}, {"a": 0, "b": 2}]


def test_weights_fade_from_one_span_to_the_next() -> None:
    mean = MeanOfModels(models={"a": 1}, spans={"end": {"from": 0.5, "weights": {"b": 1}}}, soft_change=0.5)
    hooks, stage, patches = one_step(mean)
    found = [mean.at(stage, at) for at in stage.steps]
    fading = [pytest.approx({"a": share, "b": 1 - share}) for share in (0.502, 0.002)]
    assert found == [{"a": 1.0}, *fading, {"b": 1.0}]
    at = stage.steps[1]
    answer = hooks.ask("noise_prediction", stage=stage, at=at, patches=patches)
    a, b = (predicted(stage, patches, name, 1) for name in TWO)
    assert answer.allclose(0.502 * a + 0.498 * b, atol=1e-5)


# By the place


def test_a_place_is_drawn_by_its_weights_and_fades_into_what_is_around() -> None:
    box = {"box": (0, 0, 32, 64), "weights": {"b": 3, "a": 1}, "soft_border": 16}
    mean = MeanOfModels(models={"a": 1}, boxes={"left": box})
    hooks, stage, patches = one_step(mean)
    answer = hooks.ask("noise_prediction", stage=stage, at=stage.steps[0], patches=patches)
    a, b = (predicted(stage, patches, name) for name in TWO)
    share = torch.tensor([0.75, 0.75, 0.75, 0.5625, 0.1875, 0, 0, 0])
    assert answer[0].allclose(share * b[0] + (1 - share) * a[0], atol=1e-5)
    # The other view sees nothing of it.
    assert answer[1].allclose(a[1], atol=1e-5)
    assert mean.weighing(stage, stage.steps[0], patches).asked(1) == [0]


def test_places_that_meet_leave_nothing_between_them() -> None:
    boxes = {
        "left": {"box": (0, 0, 0.5, 1), "weights": {"b": 1}, "soft_border": 32},
        "right": {"box": (0.5, 0, 0.5, 1), "weights": {"c": 1}, "soft_border": 32},
    }
    grid, fields = MultiDiffusion(stride=64), {"size": (128, 64), "steps": 1}
    passes = counted([grid, MeanOfModels(models={"a": 1}, boxes=boxes)], THREE, **fields)
    assert passes == [{"a": 0, "b": 4, "c": 4}]
    boxes = {name: {**box, "soft_border": 0} for name, box in boxes.items()}
    passes = counted([grid, MeanOfModels(models={"a": 1}, boxes=boxes)], THREE, **fields)
    assert passes == [{"a": 0, "b": 2, "c": 2}]


def test_a_painted_place(tmp_path: Path) -> None:
    values = np.zeros((64, 128), np.uint8)
    values[:, 64:] = 128
    Image.fromarray(values).save(tmp_path / "right.png")
    mean = MeanOfModels(models={"a": 1}, masks={"right": {"mask": tmp_path / "right.png", "weights": {"b": 1}}})
    _, stage, patches = one_step(mean)
    weighing = mean.weighing(stage, stage.steps[0], patches)
    assert weighing.names == ["a", "b"]
    assert weighing.asked(1) == [1]
    assert weighing.values[1, 1].unique().tolist() == pytest.approx([128 / 255])
    assert (weighing.values.sum(1) - 1).abs().max() < 1e-6


def test_a_view_over_a_border_has_weights_everywhere() -> None:
    mean = MeanOfModels(models={"a": 1}, boxes={"all": {"box": (0, 0, 1, 1), "weights": {"b": 1}}})
    _, stage, patches = one_step(mean)
    over = replace(patches, views=(View(-4, 0, 8, 8), View(0, 12, 8, 8)))
    values = mean.weighing(stage, stage.steps[0], over).values
    assert values[0, :, 0, 0].tolist() == [1, 0]
    assert values[0, :, 7, 0].tolist() == [0, 1]
    assert values[1, :, 0].tolist() == [[0] * 4 + [1] * 4, [1] * 4 + [0] * 4]


# With what others do


def test_views_that_are_told_a_model_ask_it_alone_and_regions_have_their_weights() -> None:
    boxes = {
        "own": Box(box=(0, 0, 64, 64), model="c", soft_border=0),
        "more": Box(box=(64, 0, 64, 64), adds="with a boat", soft_border=0),
    }
    plugins = [
        MultiDiffusion(stride=64),
        Regions(boxes=boxes),
        MeanOfModels(models={"a": 1, "b": 1}, regions={"more": {"b": 1, "c": 3}}),
    ]
    passes = counted(plugins, THREE, size=(256, 64), steps=1)
    # Two windows of both around, one of the third model alone, and one of two.
    assert passes == [{"a": 4, "b": 6, "c": 4}]
    plan = tiny_plan(plugins, models=THREE, size=(256, 64))
    stage, mean = plan.stages[0], plugins[2]
    (group,) = plan.hooks.ask("views", stage=stage, at=stage.steps[0])
    values = mean.weighing(stage, stage.steps[0], group).values[..., 0, 0].tolist()
    assert sorted(values) == [[0, 0, 1], [0, 0.25, 0.75], [0.5, 0.5, 0], [0.5, 0.5, 0]]


def test_it_goes_with_a_ring_guided_fusion_and_upscaling() -> None:
    def plugins(**options: Any) -> list[Plugin]:
        mean = MeanOfModels(models={"a": 1}, **options)
        return [Ring(), ProgressiveUpscaling(), MultiDiffusion(stride=32), GuidedFusion(), mean]

    fields: Any = {"size": (256, 128), "steps": 2}
    over_the_edge = {"edge": {"box": (0.875, 0, 0.25, 1), "weights": {"b": 1}, "soft_border": 0}}
    mixed = tiny_run(plugins(boxes=over_the_edge), models=TWO, **fields)
    alone = tiny_run(plugins(), models=("a",), **fields)
    changed = (mixed - alone).abs().amax((0, 1, 2))
    assert changed[:4].min() > 1e-2
    assert changed[-4:].min() > 1e-2
    # Of 21 windows in the last stage, 9 see something of the edge.
    assert counted(plugins(boxes=over_the_edge), **fields)[-1] == {"a": 42, "b": 18}


def test_views_that_are_left_out_cost_nothing() -> None:
    hooks, stage, patches = one_step(MeanOfModels(models={"a": 1, "b": 1}))
    left = replace(patches, left_out=(LeftOut("other", (True, False)),))
    answer = hooks.ask("noise_prediction", stage=stage, at=stage.steps[0], patches=left)
    assert answer[0].isfinite().all()
    assert answer[1].isnan().all()
    assert hooks.ask("forward_passes", stage=stage, at=stage.steps[0], patches=left) == 4


# Bad input


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"models": {"a": 1, "b": -1}},
            "'models' of weighted-mean has weights whose sum, 0, is not above 0, as a mean needs; such as 0.7 and 0.3",
        ),
        (
            {"spans": {"end": {"from": 0.4, "weights": {}}}},
            "'spans.end.weights' of weighted-mean must name one of the recipe's models or more, such as {NAME: 1}",
        ),
        (
            {"models": {"a": True}},
            "'models.a.weight' of weighted-mean must be a number, not true",
        ),
        (
            {"models": {"a": {"prompt": "a lake", "adds": "in oil"}}},
            "'models.a' of weighted-mean has either a prompt of its own, or what it adds to each view's",
        ),
        (
            {"models": {"a": "much"}},
            "'models.a' of weighted-mean must be a number, or options such as {weight: 0.5, prompt: ...}, not 'much'",
        ),
        (
            {"spans": {"end": {"from": 0.2, "to": 0.4, "weights": {"a": 1}}}},
            "'spans.end' of weighted-mean is reversed: from 0.2 to 0.4; a run goes down to 0, so 'from' must be the "
            "larger, such as {from: 1.0, to: 0.6}",
        ),
        (
            {"soft-change": -0.1},
            "'soft-change' of weighted-mean must be at least 0, not -0.1",
        ),
    ],
)
def test_bad_options(options: Any, line: str) -> None:
    with pytest.raises(ValidationError) as raised:
        MeanOfModels.model_validate(options)
    assert problems_of(raised.value, MeanOfModels, "weighted-mean") == [line]


@pytest.mark.parametrize(
    ("options", "models", "lines"),
    [
        (
            {"models": {"a": 1, "bb": 1}, "boxes": {"left": {"box": (0, 0, 1, 1), "weights": {"x": 1}}}},
            TWO,
            [
                "models names 'bb', which is none of the recipe's models; did you mean 'b'?; there are: a, b",
                "boxes.left names 'x', which is none of the recipe's models; there are: a, b",
            ],
        ),
        (
            {"models": {"photo": 1, "poster": 1}},
            ("model",),
            [
                "the recipe has one model, 'model'; name them all: models: {photo: SOURCE, poster: SOURCE} in place of "
                "model"
            ],
        ),
        (
            {"regions": {"left": {"a": 1}}},
            TWO,
            [
                "regions names 'left', which is no region of the plugin regions; a place without that plugin goes to "
                "boxes or masks"
            ],
        ),
        (
            {"spans": {"mid": {"from": 0.4, "to": 0.35, "weights": {"a": 1}}}},
            TWO,
            [
                "span 'mid' from 0.4 to 0.35 holds no step; the steps' timesteps (and the fraction that is left) are "
                "667 (0.67), 334 (0.33), 1 (0.00)"
            ],
        ),
        (
            {"boxes": {"left": {"box": (0, 0, 300, 40), "weights": {"a": 1}}}},
            TWO,
            ["box [0, 0, 300, 40] of 'left' reaches beyond the picture of 160x80; move it, or leave it out"],
        ),
    ],
)
def test_bad_input_is_found_before_the_models_load(options: Any, models: Sequence[str], lines: list[str]) -> None:
    with pytest.raises(RecipeError) as raised:
        tiny_plan([MeanOfModels(**options)], models=models)
    assert raised.value.problems == [f"weighted-mean: {line}" for line in lines]


def test_it_is_not_blended_with_a_method_of_the_same_kind() -> None:
    blending = SaliencyNoiseBlending(models={"a": {}, "b": {"prompt": "a rocket"}})
    with pytest.raises(PluginError) as raised:
        tiny_plan([blending, MeanOfModels()], models=TWO)
    both = "plugins 'saliency-noise-blending' and 'weighted-mean' both replace the hook"
    assert str(raised.value).splitlines() == [
        f"{both} 'forward_passes'; use one of them",
        f"{both} 'noise_prediction'; use one of them",
    ]


def test_models_without_a_weight_are_told() -> None:
    with pytest.raises(RecipeError, match="models 'c': no plugin of this recipe asks any model but 'a', 'b'"):
        tiny_plan([MeanOfModels(models={"a": 1, "b": 1})], models=THREE)
    tiny_plan([MeanOfModels()], models=THREE)


def test_options_read_back_and_numbers_are_in_the_schema() -> None:
    mean = MeanOfModels(
        models={"a": 0.7, "b": {"weight": 0.3, "adds": "in oil"}}, spans={"end": {"to": 0.5, "weights": {"a": 1}}}
    )
    written = mean.options()
    assert written["models"] == {"a": {"weight": 0.7}, "b": {"weight": 0.3, "adds": "in oil"}}
    assert MeanOfModels(**written).options() == written
    accepted = inline(MeanOfModels.model_json_schema(by_alias=True))["properties"]["models"]["additionalProperties"]
    assert [each["type"] for each in accepted["anyOf"]] == ["object", "number"]
