"""Schedulers of diffusers behind one face, each step with a noise of our own. Importing this needs no torch."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fusionkit.errors import PluginError, RecipeError, did_you_mean
from fusionkit.foreign import guarded
from fusionkit.models.schedulers.by_name import CLASS_NAMES, FLOW_CLASSES, FLOW_OR_NOISE, is_flow, named
from fusionkit.models.schedulers.flows import LEVELS, level_config, solver_config, taken_options, timing, window_tokens
from fusionkit.models.schedulers.schedules import fitting_offset, schedule_problems, whole_config
from fusionkit.recipe.schedulers import is_foreign

if TYPE_CHECKING:
    import torch

    from fusionkit.loop.model import ModelInfo
    from fusionkit.loop.scheduler import Scheduler
    from fusionkit.models.schedulers.wrapper import DiffusersScheduler
    from fusionkit.recipe.recipe import SchedulerSpec


def make_scheduler(
    info: ModelInfo,
    spec: SchedulerSpec | None,
    steps: int,
    device: torch.device | str,
    skipped: int = 0,
    tokens: int | None = None,
) -> Scheduler:
    """A scheduler for one stage, its timesteps set; None is the model's own.

    Args:
        info: The model; its own scheduler's configuration is the base of any other, as in `from_config`.
        spec: A short name or a class name, with options of the configuration (`use_karras_sigmas`) or of each step
            (`eta`, `s_churn`), spelt as in diffusers or in kebab-case.
        steps: Sampling steps; a few schedulers make more timesteps of them.
        device: Where the canvas lives.
        skipped: How many of the sampling steps are not taken, the first ones.
        tokens: How many tokens of the picture the denoiser sees at once, by which some flows shift their noise levels;
            None is the model's window.

    Raises:
        PluginError: A class of another package can't be used.
        RecipeError: An unknown or unsuitable scheduler, an unknown option, a wrong value, or a number of steps that it
            can't make; all wrong options at once. A whole schedule is tried on one latent pixel.
    """
    if problems := schedule_problems(info, spec, steps):
        raise RecipeError(problems)
    name, fixed, shown = named(info, spec)
    given = {} if spec is None else {key.replace("-", "_"): value for key, value in spec.options.items()}
    cls = _class(name, shown)
    if is_foreign(name) and is_flow(info) is not _of_flows(cls):
        which = "flow-matching models" if _of_flows(cls) else "models that predict noise"
        raise RecipeError([f"scheduler '{shown}' ({name}) is for {which}, and '{info.name}' is none"])
    step_options = _step_options(cls)
    config_options = _config_options(cls)
    offered = taken_options(name) if is_flow(info) and not is_foreign(name) else {*config_options, *step_options}
    if unknown := [key for key in given if key not in offered]:
        known = sorted(offered)
        raise RecipeError(
            f"scheduler '{shown}' has no option '{key}'{did_you_mean(key, known) or '; it has: ' + ', '.join(known)}"
            for key in unknown
        )
    told = {**fixed, **given}
    make = partial(_flow, tokens=tokens, own=spec is None) if is_flow(info) else partial(_plain, own=spec is None)
    try:
        scheduler = make(info, name, cls, told, steps, device, skipped)
        broken = scheduler.broken_step
    except Exception as error:
        # What diffusers raises for values that do not go together has no common type, and speaks of its own code.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RecipeError([f"scheduler '{shown}' can't make {steps} steps as it is set: {reason:.200}"]) from error
    if broken is not None:
        raise RecipeError(
            [
                f"scheduler '{shown}' computes no numbers at step {broken + 1} of {len(scheduler.timesteps)} as it is "
                f"set; use fewer steps, or other options"
            ]
        )
    return scheduler


def _plain(
    info: ModelInfo, name: str, cls: Any, told: Mapping[str, Any], steps: int, device: Any, skipped: int, *, own: bool
) -> DiffusersScheduler:
    """A scheduler for a model of noise, velocity or clean latents."""
    from fusionkit.models.schedulers.wrapper import DiffusersScheduler

    config_options, step_options = _config_options(cls), _step_options(cls)
    config = {key: value for key, value in told.items() if key in config_options}
    if not own and "clip_sample" in config_options and "clip_sample" not in info.scheduler_config:
        # Latents have no range to be clipped to, but a few classes do it unless they are told not to.
        config.setdefault("clip_sample", False)
    if (offset := fitting_offset(name, whole_config(info, name, told), steps)) is not None:
        config["steps_offset"] = offset
    at_step = {key: value for key, value in told.items() if key in step_options and key not in config_options}

    def build() -> Any:
        return _made(cls, own_config(info), config)

    return DiffusersScheduler(build, steps, device, at_step, skipped)


def _flow(
    info: ModelInfo,
    name: str,
    cls: Any,
    told: Mapping[str, Any],
    steps: int,
    device: Any,
    skipped: int,
    *,
    tokens: int | None,
    own: bool,
) -> DiffusersScheduler:
    """A scheduler for a model of a flow: its levels are the model's, whatever the solver is."""
    from fusionkit.models.schedulers.flow_wrapper import FlowScheduler

    levels = _class(LEVELS, LEVELS)
    config_options, spaced = _config_options(cls), level_config(info, told)
    given = timing(info, spaced, tokens or window_tokens(info), steps)
    solver = {key: value for key, value in solver_config(info, name, told).items() if key in config_options}
    # Another package's classes space their own levels. The model's own solver of both kinds is left as it is, so that
    # its pictures are those of its pipeline.
    alone = is_foreign(name) or (own and name in FLOW_OR_NOISE)
    if own and name in FLOW_OR_NOISE:
        given.pop("sigmas", None)

    def build() -> Any:
        whole = own_config(info) if alone else {}
        return _made(cls, whole, {**(spaced if cls is levels else {}), **solver})

    def spacing() -> Any:
        return _made(levels, spaced, {})

    at_step = {key: value for key, value in told.items() if key in _step_options(cls) and key not in config_options}
    return FlowScheduler(build, None if alone else spacing, given, steps, device, at_step, skipped)


def own_config(info: ModelInfo) -> Mapping[str, Any]:
    """The configuration of the model's own scheduler with its class' defaults, from which any other is built."""
    if info.scheduler not in (*CLASS_NAMES, *FLOW_CLASSES):
        return info.scheduler_config
    config: Mapping[str, Any] = _kept(_class(info.scheduler, info.scheduler), dict(info.scheduler_config), {}).config
    return config


def _made(cls: Any, base: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    """`cls.from_config(base, **config)`: a copy of one that was made before, as a few classes take long (KDPM2's)."""
    return deepcopy(_kept(cls, base, config))


def _kept(cls: Any, base: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    try:
        return _once(cls, json.dumps([base, config]))
    except TypeError:  # a value that JSON lacks
        return cls.from_config(base, **config)


@lru_cache(maxsize=32)
def _once(cls: Any, told: str) -> Any:
    base, config = json.loads(told)
    return cls.from_config(base, **config)


def _class(name: str, shown: str) -> Any:
    import diffusers

    if is_foreign(name):
        return _foreign_class(name, shown)
    cls = getattr(diffusers, name)
    if "dummy" in cls.__module__:
        missing = ", ".join(backend for backend in cls._backends if backend != "torch")
        raise RecipeError([f"scheduler '{shown}' needs {missing}: pip install {missing}"])
    return cls


def _foreign_class(name: str, shown: str) -> Any:
    """A class that another package offers.

    Raises:
        PluginError: It can't be imported, or is not made as diffusers' schedulers are.
    """
    from diffusers.configuration_utils import ConfigMixin
    from diffusers.schedulers.scheduling_utils import SchedulerMixin

    module, _, attribute = name.partition(":")
    with guarded(f"scheduler '{shown}' can't be imported ({name})"):
        cls = getattr(import_module(module), attribute)
    if not (isinstance(cls, type) and issubclass(cls, SchedulerMixin) and issubclass(cls, ConfigMixin)):
        raise PluginError(f"scheduler '{shown}' ({name}) is no subclass of diffusers' SchedulerMixin and ConfigMixin")
    return cls


def _of_flows(cls: Any) -> bool:
    """Whether another package's class is one of flows, which noise latents by `scale_noise`."""
    return hasattr(cls, "scale_noise") or not hasattr(cls, "add_noise")


@lru_cache(maxsize=32)
def _config_options(cls: Any) -> list[str]:
    return [option for option in inspect.signature(cls.__init__).parameters if option not in ("self", "kwargs")]


@lru_cache(maxsize=32)
def _step_options(cls: Any) -> list[str]:
    ours = {"self", "model_output", "timestep", "sample", "generator", "variance_noise", "return_dict"}
    return [name for name in inspect.signature(cls.step).parameters if name not in ours | {"pred_original_sample"}]
