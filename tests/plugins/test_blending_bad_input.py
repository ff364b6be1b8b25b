"""Every bad input of saliency-noise-blending is one line that names the option and says what instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from blending import ROCKET, THREE, TWO, blending, plan_of
from pydantic import ValidationError

from fusionkit import RecipeError
from fusionkit.recipe.problems import problems_of
from fusionkit_magicfusion import SaliencyNoiseBlending


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
