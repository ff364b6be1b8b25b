"""What a family's own pipelines of diffusers draw that begin with a picture, or fill in a part of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any
from unittest.mock import patch

import diffusers
import numpy as np
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from on_families import NEGATIVE, PROMPT, SCALE
from PIL import Image
from tiny_parts import Case
from torch.overrides import TorchFunctionMode

from fusionkit import Plugin
from fusionkit.loop.stage import Stage
from fusionkit.models.load import wrap_pipeline
from fusionkit.models.silence import quiet_diffusers
from fusionkit.recipe.made import make_recipe
from fusionkit.runs.plan import RunPlan
from fusionkit.runs.run import execute, prepare

STEPS = 5


class Drawn(TorchFunctionMode):
    """Answers what pipelines and schedulers draw with a stage's noise: of the beginning first, then step by step."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.noises = iter([stage.noise("init"), *(stage.noise("step", at=at) for at in stage.steps)])

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return next(self.noises).reshape(args[0]) if func is torch.randn else func(*args, **(kwargs or {}))


class Called:
    """A pipeline whose noise is its own, and that is given a picture whenever it is called."""

    def __init__(self, pipe: Any, **given: Any) -> None:
        self.pipe, self.given = pipe, given

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipe, name)

    def __call__(self, *args: Any, **given: Any) -> Any:
        del given["latents"]
        known = signature(self.pipe.__call__).parameters
        return self.pipe(*args, **{key: value for key, value in {**given, **self.given}.items() if key in known})


def drawing(path: Path, size: tuple[int, int] = (128, 128)) -> Path:
    """A picture of soft colours."""
    pixels = np.random.default_rng(1).integers(0, 255, (6, 6, 3)).astype(np.uint8)
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def begun(case: Case, plugins: list[Plugin], **fields: Any) -> tuple[RunPlan, torch.Tensor]:
    """A run in one window on a tiny pipeline: its plan, and the clean latents."""
    settings = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "guidance_scale": SCALE, "steps": STEPS}
    made = make_recipe(**{**settings, "window": (128, 128), **fields, "plugins": plugins})
    model = wrap_pipeline(case.make())
    plan = prepare(made, model.info)
    return plan, execute(plan, model)


def begun_by_diffusers(case: Case, task: str, stage: Stage, **given: Any) -> torch.Tensor:
    """Latents of the family's own pipeline of a task, from a stage's noise.

    Args:
        case: The tiny pipeline, whose parts it has.
        task: Its class, such as "FluxImg2ImgPipeline".
        stage: The stage.
        given: What it is told beside prompts, guidance and steps.
    """
    parts = dict(case.make().components)
    width, height = stage.plan.size
    with quiet_diffusers(), torch.no_grad(), means(), Drawn(stage):
        # Without the history that another pipeline's run may have left.
        scheduler = type(parts["scheduler"]).from_config(parts["scheduler"].config)
        other = getattr(diffusers, task)(**{**parts, "scheduler": scheduler})
        other.set_progress_bar_config(disable=True)
        call = {"num_inference_steps": STEPS, "output_type": "latent", "width": width, "height": height}
        return case.drawn(Called(other, **given), torch.zeros(stage.shape), PROMPT, NEGATIVE, SCALE, **call)


@contextmanager
def means() -> Iterator[None]:
    """An autoencoder's mean in place of a draw from its distribution, which takes no random numbers."""
    with patch.object(DiagonalGaussianDistribution, "sample", lambda told, generator=None: told.mode()):
        yield
