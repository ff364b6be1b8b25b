"""The weighted mean of models that predict noise, velocity, and the velocity of a flow."""

from __future__ import annotations

from typing import Any

import pytest
from two_faces import Face, flow_info, noise_info

from fusionkit import Recipe
from fusionkit.loop.denoise import denoise
from fusionkit.runs.run import prepare
from fusionkit_multidiffusion import MultiDiffusion
from fusionkit_weightedmean import MeanOfModels


def drawn(main: str, weights: dict[str, float], scheduler: str) -> Any:
    """A panorama of two windows by one denoiser behind two faces; "main" is that of the canvas."""
    others = {"epsilon": Face(noise_info()), "flow_prediction": Face(flow_info())}
    models: Any = {"main": others[main], **{name: others[name] for name in weights if name != "main"}}
    fields: Any = {"prompt": "a red boat", "size": (96, 64), "steps": 3, "guidance_scale": 3.0, "seed": 3}
    plugins = [MultiDiffusion(stride=32), *([MeanOfModels(models=weights)] if weights else [])]
    recipe = Recipe.model_validate({**fields, "scheduler": scheduler, "plugins": plugins})
    plan = prepare(recipe, models["main"].info, infos={name: each.info for name, each in models.items()}, device="cpu")
    (stage,) = plan.stages
    stage.models, stage.model = models, models["main"]
    return denoise(stage, plan.hooks)


@pytest.mark.parametrize(
    ("main", "other", "scheduler"),
    [
        ("epsilon", "flow_prediction", "ddim"),
        ("epsilon", "flow_prediction", "dpm++-2m"),
        ("flow_prediction", "epsilon", "flow-euler"),
    ],
)
def test_one_denoiser_behind_two_faces_is_one_model(main: str, other: str, scheduler: str) -> None:
    alone = drawn(main, {}, scheduler)
    both = drawn(main, {"main": 0.4, other: 0.6}, scheduler)
    assert float((both - alone).abs().max()) <= 3e-4 * max(1.0, float(alone.std()))
