"""What diffusers' schedulers take, by their source alone: names, types and limits, before any of them is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fusionkit.errors import did_you_mean
from fusionkit.models.files.sources import arguments_of
from fusionkit.models.schedulers.by_name import CLASS_NAMES, FLOW, FLOW_CLASSES, FLOW_OR_NOISE, UNSUITABLE
from fusionkit.recipe.problems import shown

STEP_LIMIT = 10_000
"""The most training timesteps that a schedule may have, and steps of a schedule that has none."""

_SPACINGS = ("linspace", "leading", "trailing")
_PREDICTIONS = ("epsilon", "sample", "v_prediction")
# What diffusers' annotations call text, and takes but a few words of.
_WORDS: Mapping[str, tuple[str, ...]] = {
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "interpolation_type": ("linear", "log_linear"),
    "prediction_type": _PREDICTIONS,
    "timestep_spacing": _SPACINGS,
}
_OWN_WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "DDPMScheduler": {"beta_schedule": (*_WORDS["beta_schedule"], "sigmoid", "laplace")},
    "DDPMParallelScheduler": {"beta_schedule": (*_WORDS["beta_schedule"], "sigmoid", "laplace")},
    "SASolverScheduler": {"algorithm_type": ("data_prediction", "noise_prediction")},
}
_LEAST_AND_MOST: Mapping[str, tuple[float, float]] = {
    "base_image_seq_len": (1, 1e9),
    "base_shift": (-20, 20),
    "beta_end": (0, 1),
    "beta_start": (0, 1),
    "clip_sample_range": (0, 1e6),
    "corrector_order": (1, 4),
    "dynamic_thresholding_ratio": (0, 1),
    "eta": (0, 1),
    "max_image_seq_len": (1, 1e9),
    "max_shift": (-20, 20),
    "num_train_timesteps": (1, STEP_LIMIT),
    "order": (1, 20),
    "original_inference_steps": (1, STEP_LIMIT),
    "predictor_order": (1, 4),
    "rho": (0.1, 100),
    "s_churn": (0, 1e6),
    "s_noise": (0, 1e3),
    "sample_max_value": (1, 1e6),
    "shift": (1e-3, 1e3),
    "shift_terminal": (0, 0.99),
    "sigma_data": (1e-6, 1e6),
    "sigma_max": (1e-6, 1e6),
    "sigma_min": (0, 1e6),
    "solver_order": (1, 3),
    "steps_offset": (0, STEP_LIMIT),
    "timestep_scaling": (1e-6, 1e6),
}
# Words of other solvers, which diffusers takes for the nearest of the class' own.
_SOLVERS = ("midpoint", "heun", "logrho", "bh1", "bh2")
_TAKEN_FOR: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "DEISMultistepScheduler": {"algorithm_type": ("dpmsolver", "dpmsolver++"), "solver_type": _SOLVERS},
    "DPMSolverMultistepScheduler": {"algorithm_type": ("deis",), "solver_type": _SOLVERS},
    "DPMSolverSinglestepScheduler": {"algorithm_type": ("deis",), "solver_type": _SOLVERS},
    "EDMDPMSolverMultistepScheduler": {"algorithm_type": ("deis",), "solver_type": _SOLVERS},
    "UniPCMultistepScheduler": {"solver_type": _SOLVERS},
}
# Options that count only where another one is on.
_BELONGS_TO = {
    "clip_sample_range": "clip_sample",
    "dynamic_thresholding_ratio": "thresholding",
    "sample_max_value": "thresholding",
}
# Objects, which no recipe can hold.
_OBJECTS = ("solver_p", "tau_func")
# diffusers annotates one of them as true or false.
_NUMBERS = ("sigma_max", "sigma_min")
_NOT_ASKED = {"self", "model_output", "timestep", "sample", "generator", "variance_noise", "return_dict"}
_NOT_ASKED |= {"pred_original_sample"}


@dataclass(frozen=True)
class Options:
    """The options of one class of schedulers, each with its annotation and its default.

    Args:
        config: Those of its configuration.
        step: Those of its step.
    """

    config: Mapping[str, tuple[str, Any]]
    step: Mapping[str, tuple[str, Any]]


@lru_cache
def options_of(name: str) -> Options | None:
    """What a scheduler's class takes, read from diffusers' source; None where that can't be found.

    Args:
        name: The class' name.
    """
    found = arguments_of("schedulers/scheduling_*.py", name)
    if not {"__init__", "step"} <= set(found):
        return None
    asked = (
        {key: each for key, each in found[where].items() if key not in _NOT_ASKED} for where in ("__init__", "step")
    )
    return Options(*asked)


def config_problems(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with a model's own scheduler, each as a line that reads on from its file's name.

    Args:
        config: The file's content.
    """
    name = config.get("_class_name")
    if not isinstance(name, str) or name not in (*CLASS_NAMES, *FLOW_CLASSES, *UNSUITABLE):
        return [f"has a scheduler {shown(name)}, which is none of diffusers' for such models"]
    if config.get("prediction_type") == FLOW and name not in (*FLOW_CLASSES, *FLOW_OR_NOISE):
        known_ones = ", ".join((*FLOW_CLASSES, *FLOW_OR_NOISE))
        return [f"has prediction_type '{FLOW}', for which {name} can't solve; schedulers of flows are: {known_ones}"]
    options = options_of(name)
    known = {**options.config} if options else {}
    given = {key: value for key, value in config.items() if key in known or key in _LEAST_AND_MOST or key in _WORDS}
    return [f"'{key}' {problem}" for key, problem in _wrong_values(name, known, given, foreign=True)]


def option_problems(
    name: str, label: str, given: Mapping[str, Any], known: Mapping[str, tuple[str, Any]] | None = None
) -> list[str]:
    """What is wrong with the options that a recipe gives its scheduler, each in one line.

    Args:
        name: The scheduler's class.
        label: How the recipe calls it.
        given: Its options, by their Python names.
        known: Those that it has, where they are not those of the class.
    """
    if known is None:
        options = options_of(name)
        if options is None:
            return []
        known = {**options.step, **options.config}
    problems = []
    for key in given:
        if key not in known:
            listed = f"; it has: {', '.join(sorted(known))}"
            problems.append(f"scheduler '{label}' has no option '{key}'{did_you_mean(key, known) or listed}")
    return problems + [
        f"scheduler '{label}': '{key.replace('_', '-')}' {problem}"
        for key, problem in _wrong_values(name, known, given)
    ]


def _wrong_values(
    name: str, known: Mapping[str, tuple[str, Any]], given: Mapping[str, Any], *, foreign: bool = False
) -> Iterator[tuple[str, str]]:
    for key, value in given.items():
        if key not in known and not foreign:
            continue
        annotation, default = known.get(key, ("", None))
        if foreign and _is_idle(name, key, value, annotation, given):
            continue
        if key in _OBJECTS and value is not None:
            if not foreign:
                yield key, "is an object of Python, which a recipe can't hold"
        elif problem := _wrong(name, key, value, annotation, default):
            yield key, problem


def _is_idle(name: str, key: str, value: Any, annotation: str, given: Mapping[str, Any]) -> bool:
    """Whether diffusers takes a value of a published configuration that a recipe should not give: it does nothing."""
    if value is None:
        # Those of kinds of noise levels are counted by adding them up.
        return ("bool" in annotation and key not in _NUMBERS and not key.startswith("use_")) or (
            key in _BELONGS_TO and not given.get(_BELONGS_TO[key])
        )
    if annotation == "bool" and type(value) is int:
        return value in (0, 1)
    return value in _TAKEN_FOR.get(name, {}).get(key, ())


def _wrong(name: str, key: str, value: Any, annotation: str, default: Any) -> str:
    if value is None:
        may_be = (default is None or "None" in annotation or not annotation) and not key.startswith("use_")
        return "" if may_be else "must have a value"
    words = _OWN_WORDS.get(name, {}).get(key) or _literals(annotation) or _WORDS.get(key)
    if words:
        if isinstance(value, str) and value in words:
            return ""
        hint = did_you_mean(value, words) if isinstance(value, str) else ""
        return f"must be {', '.join(words[:-1])}{' or ' if len(words) > 1 else ''}{words[-1]}, not {shown(value)}{hint}"
    if key in ("trained_betas", "disable_corrector"):
        return _wrong_list(key, value)
    if key not in _NUMBERS and "bool" in annotation:
        return "" if isinstance(value, bool) else f"must be true or false, not {shown(value)}"
    if "str" in annotation:
        return "" if isinstance(value, str) else f"must be text, not {shown(value)}"
    is_whole = annotation.startswith("int")
    if not annotation and key not in _LEAST_AND_MOST:
        return ""
    if isinstance(value, bool) or not isinstance(value, int if is_whole else (int, float)):
        return f"must be a {'whole ' if is_whole else ''}number, not {shown(value)}"
    if key in ("lambda_min_clipped", "s_tmin", "s_tmax"):
        return "" if value == value else "must be a number, not nan"
    least, most = _LEAST_AND_MOST.get(key, (-1e9, 1e9))
    return "" if least <= value <= most else f"must be {least:g} to {most:g}, not {shown(value)}"


def _wrong_list(key: str, value: Any) -> str:
    numbers = isinstance(value, (list, tuple)) and all(
        isinstance(each, (int, float)) and not isinstance(each, bool) for each in value
    )
    if not numbers:
        return f"must be a list of numbers, not {shown(value)}"
    if len(value) > STEP_LIMIT:
        return f"must have at most {STEP_LIMIT:,} numbers, not {len(value):,}"
    if key == "trained_betas" and not (value and all(0 < each <= 1 for each in value)):
        return "must be numbers above 0 and at most 1, one for each training timestep"
    return ""


def _literals(annotation: str) -> tuple[str, ...]:
    start = annotation.find("Literal[")
    if start < 0:
        return ()
    found = ast.literal_eval(f"({annotation[start + 8 : annotation.index(']', start)]},)")
    return tuple(str(each) for each in found)
