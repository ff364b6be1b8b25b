"""The loop: denoise a canvas that is larger than the model's window, by asking the hooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from fusionkit.canvas import check_views, gather
from fusionkit.errors import PluginError
from fusionkit.manager import Manager
from fusionkit.stage import Fused, Patches, Prompt, Stage, Step


@torch.inference_mode()
def denoise(stage: Stage, hooks: Manager) -> Tensor:
    """Denoise one stage's canvas and return its clean latents, (1, C, H, W).

    Raises:
        PluginError: A plugin failed in a hook, or its answer does not fit.
    """
    ask = partial(hooks.ask, stage=stage)
    noise = ask("init_noise", shape=stage.shape)
    latents: Tensor = ask("init_latents", shape=stage.shape, noise=noise)

    for at in stage.steps:
        groups = [replace(patches) for patches in ask("views", at=at)]
        for patches in groups:
            patches.latents = gather(latents, patches.views)  # (P, C, h, w)
            patches.prompts = ask_prompts(stage, at, patches, hooks)
            patches.prediction = ask("noise_prediction", shape=patches.latents.shape, at=at, patches=patches)
        fused = ask_fused(stage, at, groups, hooks)
        latents = ask("step", shape=stage.shape, at=at, latents=latents, fused=fused)
        ask("step_done", at=at, latents=latents, fused=fused)

    ask("stage_done", latents=latents)
    return latents


def ask_prompts(stage: Stage, at: Step, patches: Patches, hooks: Manager) -> list[Prompt]:
    """Ask for P prompts, one a view.

    Raises:
        PluginError: The answer is anything else.
    """
    answer = hooks.ask("prompt_per_patch", stage=stage, at=at, patches=patches)
    fits = isinstance(answer, Sequence) and not isinstance(answer, str) and len(answer) == len(patches.views)
    if not fits or not all(isinstance(prompt, (str, Prompt)) for prompt in answer):
        raise PluginError(
            f"hook 'prompt_per_patch' answered {answer!r:.60}; expected {len(patches.views)} strings or Prompts, "
            f"one a view (asked: {', '.join(hooks.asked('prompt_per_patch'))})"
        )
    return [Prompt(prompt) if isinstance(prompt, str) else prompt for prompt in answer]


def ask_fused(stage: Stage, at: Step, groups: Sequence[Patches], hooks: Manager) -> Fused:
    """Ask for the fused prediction, (1, C, H, W).

    Raises:
        PluginError: The answer is no `Fused`, or does not fit the canvas.
    """
    fused = hooks.ask("fuse", stage=stage, at=at, groups=groups)
    if not isinstance(fused, Fused):
        asked = ", ".join(hooks.asked("fuse"))
        raise PluginError(f"hook 'fuse' answered {type(fused).__name__}; expected a Fused (asked: {asked})")
    for tensor in (fused.prediction, fused.noise):
        if tensor is not None:
            hooks.fits("fuse", tensor, stage.shape, stage)
    return fused


def check_coverage(stage: Stage, hooks: Manager) -> tuple[int, int]:
    """Ask for every step's views before the first step, check that they leave no hole, and count them.

    Returns:
        The number of views over all steps of the stage, and how many times one goes through a denoiser.

    Raises:
        CanvasError: A step's views leave a hole or lie outside the canvas.
        PluginError: A plugin failed.
    """
    checked: list[Sequence[Patches]] = []
    views = passes = 0
    for at in stage.steps:
        groups = hooks.ask("views", stage=stage, at=at)
        # Most methods use the same views at every step: comparing is cheap, checking is not.
        if not checked or not same(checked[-1], groups):
            check_views(stage, groups)
            checked = [groups]
        for patches in groups:
            views += len(patches.views)
            passes += hooks.ask("forward_passes", stage=stage, at=at, patches=patches)
    return views, passes


def same(some: Sequence[Patches], others: Sequence[Patches]) -> bool:
    """Whether two answers of `views` are one tiling with the same weights."""
    return len(some) == len(others) and all(
        a.views == b.views
        and a.share == b.share
        and (a.weights is b.weights or (a.weights is not None and b.weights is not None and a.weights.equal(b.weights)))
        for a, b in zip(some, others, strict=True)
    )
