"""The loop: denoise a canvas that is larger than the model's window, by asking the hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from fusionkit.errors import CanvasError
from fusionkit.loop.canvas import check_views, gather
from fusionkit.loop.finite import place
from fusionkit.loop.manager import Manager
from fusionkit.loop.partly import check_filled
from fusionkit.loop.stage import Fused, Patches, Prompt, Stage, Step, Tiling
from fusionkit.loop.views import wrapped
from fusionkit.recipe.costs import too_many_in_all

StepEnded = Callable[[Stage, Step, Tensor], None]
"""Told of a stage, a step, and the canvas after it."""


@dataclass(frozen=True)
class Begun:
    """Where a stage goes on.

    Args:
        stage: The stage's index.
        done: How many of its steps are done.
        latents: The canvas after them, (1, C, H, W).
        previous: The clean latents of the stage before, as `Stage.previous`.
    """

    stage: int
    done: int
    latents: Tensor
    previous: Tensor | None


@torch.inference_mode()
def denoise(stage: Stage, hooks: Manager, begun: Begun | None = None, step_ended: StepEnded | None = None) -> Tensor:
    """Denoise one stage's canvas and return its clean latents, (1, C, H, W).

    Args:
        stage: The stage.
        hooks: The run's plugins.
        begun: Where it goes on; the stage, its scheduler and what plugins keep are as they were then.
        step_ended: Told of each step, after all plugins, with the canvas (1, C, H, W).

    Raises:
        PluginError: A plugin failed in a hook, or its answer does not fit.
        NumericalError: Something became NaN or infinite; at the end of the step at which it did, or soon after.
    """
    ask = partial(hooks.ask, stage=stage)
    if begun is None:
        noise = ask("init_noise", shape=stage.shape)
        latents: Tensor = ask("init_latents", shape=stage.shape, noise=noise)
        stage.facts.step_ends(place(stage))
    else:
        latents = begun.latents

    for at in stage.steps[0 if begun is None else begun.done :]:
        rounds = rounds_of(stage, at, hooks)
        before = deepcopy(stage.scheduler.state()) if len(rounds) > 1 else {}
        for at in rounds:
            if at.round:
                stage.scheduler.restore(deepcopy(before))
                latents = ask("noised_back", shape=stage.shape, at=at, latents=latents)
            groups = ask_views(stage, at, hooks)
            for patches in groups:
                patches.latents = gather(latents, patches.views, stage.room)  # (P, C, h, w)
                patches.prompts = ask_prompts(stage, at, patches, hooks)
                patches.prediction = ask("noise_prediction", shape=patches.latents.shape, at=at, patches=patches)
                check_filled(stage, patches)
            fused: Fused = ask("fuse", at=at, groups=groups)
            latents = ask("step", shape=stage.shape, at=at, latents=latents, fused=fused)
        stage.facts.step_ends(place(stage, at))
        ask("step_done", at=at, latents=latents, fused=fused)
        if step_ended is not None:
            step_ended(stage, at, latents)

    stage.facts.wait(place(stage, stage.steps[-1]))
    ask("stage_done", latents=latents)
    # What was kept of the last stage may still be asked for maps.
    stage.let_go(state=False)
    return latents


def rounds_of(stage: Stage, at: Step, hooks: Manager) -> list[Step]:
    """A step as often as it is taken, each with its round.

    Raises:
        PluginError: A plugin failed, or the answer is no number from 1.
    """
    return [replace(at, round=number) for number in range(hooks.ask("rounds", stage=stage, at=at))]


def ask_views(stage: Stage, at: Step, hooks: Manager) -> list[Patches]:
    """Ask for a step's groups of views, as copies of the loop's own, whose views know whether the canvas is a ring.

    Raises:
        CanvasError: They are not those of the plan, and leave a hole or lie outside the canvas.
        PluginError: A plugin failed, or the answer is anything else.
    """
    groups = [
        replace(patches, views=wrapped(patches.views, stage.canvas, stage.wrap))
        for patches in hooks.ask("views", stage=stage, at=at)
    ]
    known = stage.tilings.get((at.index, at.round))
    if known is not None and known != Tiling.of(groups):
        check_asked(stage, groups, hooks)
    return groups


def check_asked(stage: Stage, groups: Sequence[Patches], hooks: Manager) -> None:
    """Check that groups of views can be predicted and leave no hole.

    Raises:
        CanvasError: They do not; names the plugins that were asked.
    """
    try:
        check_views(stage, groups)
    except CanvasError as error:
        asked = ", ".join(hooks.asked("views"))
        raise CanvasError(f"{error} (asked: {asked}); change their options, or leave one out") from None


def ask_prompts(stage: Stage, at: Step, patches: Patches, hooks: Manager) -> list[Prompt]:
    """Ask for P prompts, one a view.

    Raises:
        PluginError: A plugin failed, or the answer is anything else.
    """
    answer = hooks.ask("prompt_per_patch", stage=stage, at=at, patches=patches)
    return [Prompt(prompt) if isinstance(prompt, str) else prompt for prompt in answer]


def check_coverage(stage: Stage, hooks: Manager) -> tuple[int, int]:
    """Ask for every step's views before the first step, check that they leave no hole, and count them.

    Returns:
        The number of views over all steps of the stage, and how many times one goes through a denoiser.

    Raises:
        CanvasError: A step's views leave a hole or lie outside the canvas, or there are too many in all.
        PluginError: A plugin failed.
    """
    checked: list[Sequence[Patches]] = []
    views = passes = 0
    for at in (each for step in stage.steps for each in rounds_of(stage, step, hooks)):
        groups = ask_views(stage, at, hooks)
        stage.tilings[at.index, at.round] = Tiling.of(groups)
        # Most methods use the same views at every step: comparing is cheap, checking is not.
        if not checked or not same(checked[-1], groups):
            check_asked(stage, groups, hooks)
            checked = [groups]
        for patches in groups:
            views += len(patches.views)
            passes += hooks.ask("forward_passes", stage=stage, at=at, patches=patches)
        if problem := too_many_in_all(views):
            raise CanvasError(problem)
    return views, passes


def same(some: Sequence[Patches], others: Sequence[Patches]) -> bool:
    """Whether two answers of `views` are one tiling with the same weights, which covers the same pixels."""
    return len(some) == len(others) and all(
        a.views == b.views
        and (a.share > 0) == (b.share > 0)
        and (a.weights is b.weights or (a.weights is not None and b.weights is not None and a.weights.equal(b.weights)))
        for a, b in zip(some, others, strict=True)
    )
