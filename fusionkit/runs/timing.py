"""How long a run's forward passes will take: one batch is timed, and all of them are as long."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusionkit.runs.plan import RunPlan


def timed(plan: RunPlan) -> float:
    """Seconds of a plan's forward passes on this machine, by one batch of its last stage's views.

    The models are loaded. A batch is predicted twice, of which the second counts: the first also encodes the prompt,
    and makes the machine ready.

    Raises:
        FusionError: A model can't be loaded.
        PluginError: A plugin failed.
    """
    import torch

    from fusionkit.loop.denoise import ask_views
    from fusionkit.loop.stage import Prompt
    from fusionkit.models.load import load_models

    models = load_models(plan.recipe, plan.infos)
    stage, model = plan.stages[-1], next(iter(models.values()))
    stage.model, stage.models = model, models
    (group, *_) = ask_views(stage, stage.steps[0], plan.hooks)
    count = min(plan.recipe.batch_size or 8, len(group.views))
    part = group.picked(range(count))
    part.latents = stage.noise("timing", (count, stage.shape[1], *part.size))
    part.prompts = [Prompt(plan.recipe.prompt)] * count
    with torch.inference_mode():
        model.predict(stage, stage.steps[0], part)
        seconds, passes = model.forward_seconds, model.forward_passes
        model.predict(stage, stage.steps[0], part)
    each = (model.forward_seconds - seconds) / (model.forward_passes - passes)
    return each * plan.forward_passes
