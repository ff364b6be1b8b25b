"""Noise schedules that begin at pure noise, where a model that predicts noise tells nothing (arXiv 2305.08891)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionkit.models.base import ModelInfo
    from fusionkit.models.schedulers import Scheduler
    from fusionkit.recipe import Recipe

_OPTION = "rescale_betas_zero_snr"


def zero_snr_told(recipe: Recipe, info: ModelInfo) -> list[str]:
    """What the recipe and the model's configuration tell of it, without torch; one line, or none.

    Where the recipe has another scheduler than the model, only options that it gives count: whether it takes over the
    model's, its class alone knows, and `zero_snr_problems` asks it.
    """
    spec = recipe.scheduler
    given = {} if spec is None else {key.replace("-", "_"): value for key, value in spec.options.items()}
    options = {"prediction_type": info.prediction_type, **(info.scheduler_config if spec is None else {}), **given}
    return _problems(info.scheduler if spec is None else spec.name, options)


def zero_snr_problems(scheduler: Scheduler) -> list[str]:
    """Whether a scheduler begins at pure noise with a model that predicts noise; one line, or none."""
    import inspect

    import diffusers

    takes = inspect.signature(getattr(diffusers, scheduler.name).__init__).parameters
    return _problems(scheduler.name, scheduler.config) if _OPTION in takes else []


def _problems(name: str, options: Mapping[str, Any]) -> list[str]:
    if options.get(_OPTION) is not True or options.get("prediction_type", "epsilon") != "epsilon":
        return []
    return [
        f"scheduler '{name}': {_OPTION} begins at pure noise, where this model's prediction, which is the noise "
        f"(epsilon), tells nothing; leave it out, or say 'prediction-type: v_prediction' if it was trained for that"
    ]
