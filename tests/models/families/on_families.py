"""Stages on tiny pipelines of families."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from tiny_parts import Case
from torch.overrides import TorchFunctionMode

from fusionkit.loop.denoise import denoise
from fusionkit.loop.manager import Manager
from fusionkit.loop.stage import Stage, StagePlan
from fusionkit.models.load import wrap_pipeline
from fusionkit.models.schedulers.flows import window_tokens
from fusionkit.models.schedulers.make import make_scheduler
from fusionkit.models.silence import quiet_diffusers
from fusionkit.recipe import Recipe, SchedulerSpec

PROMPT, NEGATIVE = "a red boat", "two cats and a dog in the rain"
SCALE = 4.0
LONG = (
    "a mountain range at twilight, with snow and a small house, two cats and a dog in the rain, the old town by the "
    "sea under stars, and a mountain range at twilight, with snow and a small house again"
)


def model_of(case: Case, window: tuple[int, int] = (128, 128), **options: Any) -> Any:
    model: Any = wrap_pipeline(case.make(), **options)
    model.info = replace(model.info, window=window)
    return model


def stage_on(model: Any, scheduler: str | None = None, options: dict[str, Any] | None = None, **recipe: Any) -> Stage:
    """One stage on a model; by default one window wide, of 4 steps at guidance 4."""
    settings: dict[str, Any] = {"prompt": PROMPT, "size": model.info.window, "steps": 4, "seed": 3}
    made = Recipe(**{**settings, "guidance_scale": 4.0, "negative_prompt": NEGATIVE, **recipe})
    spec = None if scheduler is None else SchedulerSpec(name=scheduler, options=options or {})
    across, down = (min(sides) for sides in zip(made.window or model.info.window, made.size, strict=True))
    tokens = window_tokens(model.info, (across, down))
    made_of = make_scheduler(model.info, spec, made.steps, "cpu", 0, tokens)
    return Stage(StagePlan(made.size), 0, made, model.info, made_of, model=model, models={"model": model})


def run(stage: Stage, *plugins: Any) -> torch.Tensor:
    return denoise(stage, Manager(plugins))


class InTurn(TorchFunctionMode):
    """Answers what schedulers draw with a stage's noise, step by step."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.noises = (stage.noise("step", at=at) for at in stage.steps)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return next(self.noises) if func is torch.randn else func(*args, **(kwargs or {}))


def drawn(case: Case, stage: Stage) -> torch.Tensor:
    """What the family's own pipeline draws from the stage's noise."""
    recipe = stage.recipe
    width, height = recipe.size
    call = {"num_inference_steps": recipe.steps, "output_type": "latent", "width": width, "height": height}
    begin = stage.noise("init")
    with quiet_diffusers(), torch.no_grad(), InTurn(stage):
        return case.drawn(case.make(), begin, recipe.prompt, recipe.negative_prompt, recipe.guidance_scale, **call)


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())
