"""Runs on the tiny Stable Diffusion as if it answered a flow's velocity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fusionkit.loop.model import ModelInfo
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.plugin import Plugin
from fusionkit.recipe.made import make_recipe
from fusionkit.runs.plan import RunPlan
from fusionkit.runs.run import prepare
from fusionkit.testing.tiny import tiny_pipeline

SHIFTED = {"shift": 3.0, "use_dynamic_shifting": False, "num_train_timesteps": 1000}


def flow_info() -> ModelInfo:
    return replace(
        info_of_pipeline(tiny_pipeline()),
        prediction_type="flow_prediction",
        scheduler="FlowMatchEulerDiscreteScheduler",
        scheduler_config=SHIFTED,
    )


def flow_plan(plugins: Sequence[Plugin] = (), **fields: Any) -> RunPlan:
    """A checked run, as `tiny_plan` makes one; by default 3 steps of flow-euler-a with guidance 4 on three windows."""
    default = {"prompt": "a hill", "size": (160, 80), "scheduler": "flow-euler-a", "steps": 3, "guidance_scale": 4.0}
    recipe = make_recipe(**{**default, **fields, "plugins": list(plugins)})
    return prepare(recipe, flow_info(), infos={"model": flow_info()})
