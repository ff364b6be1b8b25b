"""Schedulers of flow-matching models: which there are, what they take, and their noise levels. Needs no torch.

A flow has latents (1 - s) x0 + s eps, and its model answers the velocity eps - x0 (Lipman et al., arXiv 2210.02747; Liu
et al., arXiv 2209.03003). Levels s go from 1 to 0; how they are spaced is the model's, whatever the solver is.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any

from fusionkit.models.families import FAMILIES
from fusionkit.models.schedulers.by_name import FLOW, FLOW_OR_NOISE
from fusionkit.models.schedulers.options import STEP_LIMIT, options_of

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo

MOST_NOISE = 14.6146
"""The ratio of noise to signal, s / a, that Stable Diffusion's schedule begins at; of more hardly a trace is left."""

LEVELS = "FlowMatchEulerDiscreteScheduler"
"""The class of diffusers that spaces noise levels; the other ones get them from it."""

_SHIFTS = ("shift", "base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len", "shift_terminal")
_KINDS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
_SPACING = (*_SHIFTS, "use_dynamic_shifting", "time_shift_type", *_KINDS)
_ORDERS = ("solver_order", "solver_type", "lower_order_final")
_SOLVERS: Mapping[str, tuple[str, ...]] = {
    LEVELS: ("stochastic_sampling",),
    "LTXEulerAncestralRFScheduler": ("eta", "s_noise"),
    "DPMSolverMultistepScheduler": ("algorithm_type", "euler_at_final", *_ORDERS),
    "UniPCMultistepScheduler": ("predict_x0", "disable_corrector", *_ORDERS),
}
_BOTH_WAYS = {"use_flow_sigmas": True, "prediction_type": FLOW}


def taken_options(name: str) -> dict[str, tuple[str, Any]]:
    """The options that a recipe may give a scheduler of a flow: those of its levels, and those of its solver.

    Not those that diffusers takes and leaves aside (`s_churn` of Euler's), nor those by which latents would leave the
    flow (`s_churn` of Heun's, which adds noise and takes nothing of the picture away).

    Args:
        name: Its class.

    Returns:
        For each its annotation and its default, as diffusers has them.
    """
    own, spacing = options_of(name), options_of(LEVELS)
    assert own is not None, "its options are asked for where diffusers' source is found"
    assert spacing is not None
    return {key: spacing.config[key] for key in _SPACING} | {key: own.config[key] for key in _SOLVERS.get(name, ())}


def resamples(name: str, config: Mapping[str, Any]) -> bool:
    """Whether a step is x' = (1 - s') x0 + s' z with fresh noise z, as consistency models are sampled.

    With a model that is not distilled so, samples vary less than the model's distribution, however many steps there
    are; an SDE keeps a part of the noise that is there.

    Args:
        name: The scheduler's class.
        config: Its configuration, as far as it is given.
    """
    return name == "FlowMatchLCMScheduler" or bool(config.get("stochastic_sampling"))


def level_problems(config: Mapping[str, Any], steps: int) -> list[str]:
    """What is wrong with noise levels, each as a line that reads on from the scheduler's name.

    Args:
        config: From `level_config`.
        steps: Sampling steps.
    """
    problems = []
    if sum(bool(config.get(key)) for key in _KINDS) > 1:
        *rest, last = (key.replace("_", "-") for key in _KINDS)
        problems.append(f"takes one of {', '.join(rest)} and {last}, and has two")
    if steps > STEP_LIMIT:
        problems.append(f"makes at most {STEP_LIMIT:,} steps, not {steps:,}")
    if config.get("shift_terminal") and steps == 1:
        problems.append("has one step, and so no last one at shift-terminal; use two steps or more")
    return problems


def solver_config(info: ModelInfo, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A solver's configuration but its levels: the model's own, with what a recipe changes.

    Args:
        info: The model.
        name: The solver's class.
        given: A recipe's options, by their Python names.
    """
    known = _SOLVERS.get(name, ())
    own = {key: value for key, value in info.scheduler_config.items() if key in known}
    # These solve for noise unless they are told otherwise.
    flow = _BOTH_WAYS if name in FLOW_OR_NOISE else {}
    return {**own, **{key: value for key, value in given.items() if key not in _SPACING}, **flow}


def level_config(info: ModelInfo, given: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that spaces the noise levels: the model's own, with what a recipe changes.

    Args:
        info: The model.
        given: A recipe's options, by their Python names. A `shift` takes the place of one that depends on the size.
    """
    own = {key: value for key, value in info.scheduler_config.items() if key in (*_SPACING, "num_train_timesteps")}
    if "shift" not in own and (shift := info.scheduler_config.get("flow_shift")) is not None:
        own["shift"] = shift
    if given.get("shift") is not None:
        own["use_dynamic_shifting"] = False
    return own | {key: value for key, value in given.items() if key in _SPACING}


def timing(info: ModelInfo, config: Mapping[str, Any], tokens: int, steps: int) -> dict[str, Any]:
    """Arguments of `set_timesteps`: the levels before any shift, and the shift `mu` where it depends on the size.

    Args:
        info: The model.
        config: From `level_config`.
        tokens: How many tokens of the picture the denoiser sees at once. The shift makes up for what it sees, so they
            are a window's and not the canvas'.
        steps: Sampling steps.
    """
    return FAMILIES[info.kind].timing(config, tokens, steps)


def window_tokens(info: ModelInfo, size: tuple[int, int] | None = None) -> int:
    """How many tokens of a picture one forward pass sees.

    Args:
        info: The model.
        size: (width, height) in pixels; None is the model's window.
    """
    side = info.token
    width, height = size or info.window
    return ceil(width / side) * ceil(height / side)
