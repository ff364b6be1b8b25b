"""Pictures to begin with, and diffusers' own pipelines that begin with them, on the tiny models."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fusionkit import Plugin, hookimpl
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.models.load import wrap_pipeline
from fusionkit.models.silence import quiet_diffusers
from fusionkit.recipe.made import make_recipe
from fusionkit.runs.plan import RunPlan
from fusionkit.runs.run import decoded, execute, prepare
from fusionkit.testing import tiny_pipeline

SEED = 7


class Noise(Plugin):
    """Starting noise that is given."""

    noise: Any

    @hookimpl
    def init_noise(self) -> Tensor:
        return self.noise


class OfTheSeed(Plugin):
    """The noise that diffusers' pipelines draw, whatever the canvas."""

    @hookimpl
    def init_noise(self, stage: Any) -> Tensor:
        return torch.randn(stage.shape, generator=torch.Generator().manual_seed(SEED))


def drawing(path: Path, size: tuple[int, int], seed: int = 0) -> Path:
    """A picture of soft colours."""
    pixels = np.random.default_rng(seed).integers(0, 255, (5, 8, 3)).astype(np.uint8)
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


@lru_cache
def filling_pipeline(kind: str) -> Any:
    """A tiny pipeline whose UNet is told mask and picture: nine channels."""
    pipe = tiny_pipeline(kind)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = {key: value for key, value in pipe.unet.config.items() if not key.startswith("_")}
        unet = diffusers.UNet2DConditionModel(**{**config, "in_channels": 9}).eval()
    return type(pipe)(**{**parts_of(pipe), "unet": unet}, **_plain(pipe))


def parts_of(pipe: Any) -> dict[str, Any]:
    return dict(pipe.components)


def _plain(pipe: Any) -> dict[str, Any]:
    return {"add_watermarker": False} if "XL" in type(pipe).__name__ else {"requires_safety_checker": False}


def plan_on(pipe: Any, plugins: list[Plugin], **fields: Any) -> RunPlan:
    """A checked run on a pipeline."""
    default = {"prompt": "a hill", "scheduler": "ddim", "steps": 5, "guidance_scale": 4.0}
    return prepare(make_recipe(**{**default, **fields, "plugins": plugins}), info_of_pipeline(pipe))


def run_on(pipe: Any, plugins: list[Plugin], **fields: Any) -> tuple[RunPlan, Tensor]:
    """The plan, and its clean latents."""
    plan = plan_on(pipe, plugins, **fields)
    return plan, execute(plan, wrap_pipeline(pipe))


def picture_of(plan: RunPlan, latents: Tensor, pipe: Any = None) -> Any:
    """The run's picture, (H, W, 3) integers."""
    return np.asarray(decoded(plan, wrap_pipeline(pipe or tiny_pipeline()), latents)).astype(int)


def theirs(pipe: Any, stage: Any, task: str, **given: Any) -> Tensor:
    """Latents of diffusers' own pipeline for a task, `Img2Img` or `Inpaint`, with a stage's scheduler and steps."""
    family = "StableDiffusionXL" if "XL" in type(pipe).__name__ else "StableDiffusion"
    with quiet_diffusers():
        scheduler = getattr(diffusers, stage.scheduler.name).from_config(stage.scheduler.config)
        other = getattr(diffusers, f"{family}{task}Pipeline")(
            **{**parts_of(pipe), "scheduler": scheduler}, **_plain(pipe)
        )
        other.set_progress_bar_config(disable=True)
        found: Tensor = other(
            "a hill",
            num_inference_steps=stage.recipe.steps,
            guidance_scale=4.0,
            generator=torch.Generator().manual_seed(SEED),
            output_type="latent",
            **given,
        ).images
    return found
