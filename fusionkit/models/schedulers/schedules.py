"""Whether a scheduler can make a number of steps of a model's noise schedule, by their configurations alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import cos, pi, prod
from typing import TYPE_CHECKING, Any

from fusionkit.models.schedulers.by_name import FLOW, is_edm, is_flow, named
from fusionkit.models.schedulers.flows import level_config, level_problems, taken_options
from fusionkit.models.schedulers.options import STEP_LIMIT, option_problems, options_of
from fusionkit.recipe.schedulers import is_foreign

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo
    from fusionkit.recipe.recipe import SchedulerSpec

# They put one noise level more into the schedule than it has steps, at whole training timesteps.
_ONE_MORE = (
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "SASolverScheduler",
    "UniPCMultistepScheduler",
)
# With these, noise levels lie between the training timesteps as well.
_OWN_LEVELS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas")
_ONE_OF = _OWN_LEVELS[:3]
_DISTILLED = ("LCMScheduler", "TCDScheduler")
_NO_SIGNAL = 1e-30


def schedule_problems(info: ModelInfo, spec: SchedulerSpec | None, steps: int) -> list[str]:
    """Why a scheduler can't draw with a model in a number of steps, each in one line; needs no torch.

    Args:
        info: The model; its own scheduler's configuration is the base of any other.
        spec: The recipe's scheduler; None is the model's own.
        steps: Sampling steps.

    Raises:
        RecipeError: The scheduler is unknown or does not suit such models.
    """
    name, fixed, label = named(info, spec)
    given = {} if spec is None else {key.replace("-", "_"): value for key, value in spec.options.items()}
    if is_flow(info) and not is_foreign(name):
        problems = option_problems(name, label, given, taken_options(name))
        told = level_config(info, {**fixed, **given})
        return problems or [f"scheduler '{label}' {problem}" for problem in level_problems(told, steps)]
    if problems := option_problems(name, label, given):
        return problems
    if given.get("use_flow_sigmas") or given.get("prediction_type") == FLOW:
        return [f"scheduler '{label}': flow matching is for flow-matching models, and '{info.name}' is none"]
    config = whole_config(info, name, {**fixed, **given})
    return [f"scheduler '{label}' {problem}" for problem in _problems(name, config, steps)]


def whole_config(info: ModelInfo, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A scheduler's configuration as `from_config` makes it of the model's own scheduler's.

    Args:
        info: The model.
        name: The scheduler's class.
        given: What is changed.
    """
    own, target = options_of(info.scheduler), options_of(name)
    base = {key: default for key, (_, default) in own.config.items()} if own else {}
    base |= info.scheduler_config
    known = target.config if target else dict.fromkeys(base, ("", None))
    return {key: given.get(key, base.get(key, default)) for key, (_, default) in known.items()}


def fitting_offset(name: str, config: Mapping[str, Any], steps: int) -> int | None:
    """The `steps_offset` with which a schedule begins at the last training timestep; None where it fits as it is.

    With "leading" spacing a schedule of as many steps as there are training timesteps has no room for an offset: its
    timesteps are all of them.

    Args:
        name: The scheduler's class.
        config: Its whole configuration.
        steps: Sampling steps.
    """
    offset = config.get("steps_offset")
    if not offset or config.get("timestep_spacing") != "leading":
        return None
    trained, more = _trained(config), name in _ONE_MORE
    highest = (steps - 1 + more) * (trained // (steps + more))
    return None if highest + offset < trained else max(0, trained - 1 - highest)


def _trained(config: Mapping[str, Any]) -> int:
    return int(config.get("num_train_timesteps") or 1000)


def _problems(name: str, config: Mapping[str, Any], steps: int) -> Iterator[str]:
    if sum(bool(config.get(key)) for key in _ONE_OF) > 1:
        *rest, last = (key.replace("_", "-") for key in _ONE_OF)
        yield f"takes one of {', '.join(rest)} and {last}, and has two"
    if is_edm(name):
        if steps > STEP_LIMIT:
            yield f"makes at most {STEP_LIMIT:,} steps, not {steps:,}"
        return
    trained = _trained(config)
    if (betas := config.get("trained_betas")) is not None and len(betas) != trained:
        yield f"has {len(betas):,} trained_betas for {trained:,} training timesteps; there must be one for each"
        return
    yield from _wrong_steps(name, config, steps, trained)
    prediction = config.get("prediction_type", "epsilon")
    if prediction == "epsilon" and (reason := _without_signal(config, trained)):
        yield (
            f"begins at pure noise ({reason}), of which a model that predicts noise (epsilon) tells nothing; set "
            f"rescale-betas-zero-snr: false, or, for a model that was trained so, prediction-type: v_prediction"
        )


def _wrong_steps(name: str, config: Mapping[str, Any], steps: int, trained: int) -> Iterator[str]:
    spacing = config.get("timestep_spacing", "linspace")
    if steps > trained:
        yield f"makes at most {trained:,} steps, one for each training timestep of the model, not {steps:,}"
    elif name in _ONE_MORE and not any(config.get(key) for key in _OWN_LEVELS):
        if spacing != "trailing" and steps > trained - 1:
            instead = "" if name == "DPMSolverSinglestepScheduler" else "; use timestep-spacing: trailing"
            yield f"makes at most {trained - 1:,} steps where they are spaced by '{spacing}', not {steps:,}{instead}"
    elif name == "PNDMScheduler" and not config.get("skip_prk_steps") and steps < 4:
        yield f"needs at least 4 steps, not {steps}; or set skip-prk-steps: true"
    elif name in _DISTILLED:
        original = int(config.get("original_inference_steps") or 50)
        if original > trained:
            yield (
                f"takes its steps from {original:,}, and the model has {trained:,} training timesteps; set "
                f"original-inference-steps: {trained}"
            )
        elif steps > original:
            yield f"makes at most {original:,} steps, not {steps:,}; set original-inference-steps for more"


def _without_signal(config: Mapping[str, Any], trained: int) -> str:
    """Why nothing of the picture is left at the last training timestep; empty where something is."""
    if config.get("rescale_betas_zero_snr"):
        return "rescale_betas_zero_snr"
    if (given := config.get("trained_betas")) is not None:
        left = prod(1 - float(beta) for beta in given)
    else:
        start, end = float(config.get("beta_start", 0.0001)), float(config.get("beta_end", 0.02))
        left = _left(str(config.get("beta_schedule", "linear")), start, end, trained)
    return "its betas leave no signal" if left <= _NO_SIGNAL else ""


@lru_cache
def _left(kind: str, start: float, end: float, trained: int) -> float:
    """The signal that is left at the last training timestep."""
    return prod(1 - beta for beta in _betas(kind, start, end, trained))


def _betas(kind: str, start: float, end: float, trained: int) -> Iterator[float]:
    """The schedule's betas, as far as diffusers' formulae are simple; else none."""
    for number in range(trained):
        share = number / max(1, trained - 1)
        if kind == "linear":
            yield start + (end - start) * share
        elif kind == "scaled_linear":
            yield (start**0.5 + (end**0.5 - start**0.5) * share) ** 2
        elif kind == "squaredcos_cap_v2":
            now, then = (cos(((number + step) / trained + 0.008) / 1.008 * pi / 2) ** 2 for step in (0, 1))
            yield min(1 - then / now, 0.999)
