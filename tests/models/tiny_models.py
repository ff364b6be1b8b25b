"""Plain pipelines of the tiny checkpoints, and stages on them."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from fusionkit.loop.manager import Manager
from fusionkit.loop.model import ModelInfo
from fusionkit.loop.stage import Stage, StagePlan
from fusionkit.models.inspect import inspect_model
from fusionkit.models.load import load_pipeline
from fusionkit.models.schedulers.make import make_scheduler
from fusionkit.models.silence import quiet_diffusers
from fusionkit.recipe import Recipe, SchedulerSpec

CHECKPOINTS = Path(__file__).parents[1] / "golden" / "checkpoints"
KINDS = ("sd", "sdxl")


def plain(kind: str) -> Any:
    """A fresh plain pipeline of the kind: a copy, which takes a fraction of the time of loading."""
    return deepcopy(_loaded(kind))


@cache
def _loaded(kind: str) -> Any:
    import torch

    pipe = load_pipeline(str(CHECKPOINTS / f"tiny-{kind}"), kind, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@cache
def info_of(kind: str) -> ModelInfo:
    return inspect_model(str(CHECKPOINTS / f"tiny-{kind}"))


def stage_on(model: Any, scheduler: str | None = None, options: dict[str, Any] | None = None, **recipe: Any) -> Stage:
    """One stage on a model; by default one window wide."""
    settings: dict[str, Any] = {"prompt": "a cat", "size": model.info.window, "steps": 4, "seed": 3}
    made = Recipe(**{**settings, **recipe})
    spec = None if scheduler is None else SchedulerSpec(name=scheduler, options=options or {})
    return Stage(
        plan=StagePlan(made.size),
        index=0,
        recipe=made,
        info=model.info,
        scheduler=make_scheduler(model.info, spec, made.steps, model.device),
        model=model,
    )


def run(stage: Stage, *plugins: Any) -> Any:
    from fusionkit.loop.denoise import denoise

    return denoise(stage, Manager(plugins))


def drawn(pipe: Any, stage: Stage, **options: Any) -> Any:
    """What the plain pipeline draws from the stage's noise, as its user would call it."""
    settings = {"guidance_scale": 7.5, "output_type": "latent", "num_inference_steps": stage.recipe.steps, **options}
    with quiet_diffusers():
        return pipe(stage.recipe.prompt, latents=stage.noise("init"), **settings).images
