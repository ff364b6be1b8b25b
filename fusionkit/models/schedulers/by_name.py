"""Schedulers of diffusers behind one face, each step with a noise of our own. Importing this needs no torch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fusionkit.errors import RecipeError, did_you_mean
from fusionkit.models.schedulers.schedules import fitting_offset, schedule_problems, whole_config

if TYPE_CHECKING:
    import torch

    from fusionkit.loop.model import ModelInfo
    from fusionkit.loop.scheduler import Scheduler
    from fusionkit.recipe.recipe import SchedulerSpec


_KARRAS = {"use_karras_sigmas": True}
_MULTISTEP, _SINGLESTEP = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
_PLUS = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_SDE = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}

SHORT_NAMES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "dpm++-2m": (_MULTISTEP, _PLUS),
    "dpm++-2m-karras": (_MULTISTEP, _PLUS | _KARRAS),
    "dpm++-2m-sde": (_MULTISTEP, _SDE),
    "dpm++-2m-sde-karras": (_MULTISTEP, _SDE | _KARRAS),
    "dpm++-2s": (_SINGLESTEP, _PLUS),
    "dpm++-2s-karras": (_SINGLESTEP, _PLUS | _KARRAS),
    "dpm++-2s-sde": (_SINGLESTEP, _SDE),
    "edm-dpm++-2m": ("EDMDPMSolverMultistepScheduler", _PLUS),
    "edm-dpm++-2m-sde": ("EDMDPMSolverMultistepScheduler", _SDE),
    "edm-euler": ("EDMEulerScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-karras": ("EulerDiscreteScheduler", _KARRAS),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "heun-karras": ("HeunDiscreteScheduler", _KARRAS),
    "kdpm2": ("KDPM2DiscreteScheduler", {}),
    "kdpm2-karras": ("KDPM2DiscreteScheduler", _KARRAS),
    "kdpm2-a": ("KDPM2AncestralDiscreteScheduler", {}),
    "kdpm2-a-karras": ("KDPM2AncestralDiscreteScheduler", _KARRAS),
    "lcm": ("LCMScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "lms-karras": ("LMSDiscreteScheduler", _KARRAS),
    "pndm": ("PNDMScheduler", {}),
    "sasolver": ("SASolverScheduler", {}),
    "tcd": ("TCDScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "unipc-karras": ("UniPCMultistepScheduler", _KARRAS),
}
"""Short names, each a diffusers class and the options that the name stands for."""

CLASS_NAMES: tuple[str, ...] = tuple(
    sorted({name for name, _ in SHORT_NAMES.values()} | {"DDIMParallelScheduler", "DDPMParallelScheduler"})
)

_FLOW = "is for flow-matching models; this one predicts noise or velocity"
_OTHER = "is made for another kind of model"
UNSUITABLE: Mapping[str, str] = {
    "FlowMatchEulerDiscreteScheduler": _FLOW,
    "FlowMatchHeunDiscreteScheduler": _FLOW,
    "FlowMatchLCMScheduler": _FLOW,
    "FlowMapEulerDiscreteScheduler": _FLOW,
    "LTXEulerAncestralRFScheduler": _FLOW,
    "SCMScheduler": _FLOW,
    "CMStochasticIterativeScheduler": "is for consistency models; 'lcm' is the one for latent consistency models",
    "CogVideoXDDIMScheduler": "is for video models; use 'ddim'",
    "CogVideoXDPMScheduler": "is for video models; use 'dpm++-2m'",
    "CosineDPMSolverMultistepScheduler": "draws its noise from torchsde, which can't be fused; use 'dpm++-2m-sde'",
    "DPMSolverSDEScheduler": "draws its noise from torchsde, which can't be fused; use 'dpm++-2m-sde'",
    "DDIMInverseScheduler": "turns pictures into noise; it can't draw one",
    "DPMSolverMultistepInverseScheduler": "turns pictures into noise; it can't draw one",
    "IPNDMScheduler": "has a noise schedule of its own (Dance Diffusion); use 'pndm' or 'deis'",
    "DDPMWuerstchenScheduler": _OTHER,
    "KarrasVeScheduler": _OTHER,
    "RePaintScheduler": "needs a picture and a mask",
    "ScoreSdeVeScheduler": _OTHER,
    "ScoreSdeVpScheduler": _OTHER,
    "UnCLIPScheduler": _OTHER,
    "VQDiffusionScheduler": _OTHER,
}
"""Classes of diffusers that people may try, and why they can't be used."""


def known_schedulers() -> list[str]:
    """Every name that a recipe may give: the short names, then the class names."""
    return [*SHORT_NAMES, *CLASS_NAMES]


def resolve(spec: SchedulerSpec) -> str:
    """The diffusers class name of a recipe's scheduler.

    Raises:
        RecipeError: The name is not known, or its class does not suit Stable Diffusion.
    """
    return _named(spec.name)[0]


def named(info: ModelInfo, spec: SchedulerSpec | None) -> tuple[str, Mapping[str, Any], str]:
    """The class of a recipe's scheduler, or else of the model's own, what a short name stands for, and the name.

    Raises:
        RecipeError: The name is not known, or its class does not suit Stable Diffusion.
    """
    shown = info.scheduler if spec is None else spec.name
    return (*_named(shown), shown)


def _named(name: str) -> tuple[str, Mapping[str, Any]]:
    short = name.lower().replace("_", "-")
    if short in SHORT_NAMES:
        return SHORT_NAMES[short]
    if name in CLASS_NAMES:
        return name, {}
    if name in UNSUITABLE:
        raise RecipeError([f"scheduler '{name}' {UNSUITABLE[name]}"])
    lowered = {known.lower(): known for known in known_schedulers()}
    hint = did_you_mean(lowered.get(name.lower(), name), known_schedulers())
    raise RecipeError([f"no scheduler '{name}'{hint or '; known are: ' + ', '.join(SHORT_NAMES)}"])


def make_scheduler(info: ModelInfo, spec: SchedulerSpec | None, steps: int, device: torch.device | str) -> Scheduler:
    """A scheduler for one stage, its timesteps set; None is the model's own.

    Args:
        info: The model; its own scheduler's configuration is the base of any other, as in `from_config`.
        spec: A short name or a class name, with options of the configuration (`use_karras_sigmas`) or of each step
            (`eta`, `s_churn`), spelt as in diffusers or in kebab-case.
        steps: Sampling steps; a few schedulers make more timesteps of them.
        device: Where the canvas lives.

    Raises:
        RecipeError: An unknown or unsuitable scheduler, an unknown option, a wrong value, or a number of steps that it
            can't make; all wrong options at once. A whole schedule is tried on one latent pixel.
    """
    if problems := schedule_problems(info, spec, steps):
        raise RecipeError(problems)
    name, fixed, shown = named(info, spec)
    given = {} if spec is None else {key.replace("-", "_"): value for key, value in spec.options.items()}
    cls = _class(name, shown)
    step_options = _step_options(cls)
    config_options = [
        option for option in inspect.signature(cls.__init__).parameters if option not in ("self", "kwargs")
    ]
    if given.get("use_flow_sigmas") or given.get("prediction_type") == "flow_prediction":
        raise RecipeError([f"scheduler '{shown}': flow matching {_FLOW.removeprefix('is ')}"])
    config = {**fixed, **{key: value for key, value in given.items() if key in config_options}}
    if spec is not None and "clip_sample" in config_options and "clip_sample" not in info.scheduler_config:
        # Latents have no range to be clipped to, but a few classes do it unless they are told not to.
        config.setdefault("clip_sample", False)
    if (offset := fitting_offset(name, whole_config(info, name, {**fixed, **given}), steps)) is not None:
        config["steps_offset"] = offset
    at_step = {key: value for key, value in given.items() if key in step_options and key not in config_options}

    from fusionkit.models.schedulers.wrapper import DiffusersScheduler

    try:
        scheduler = DiffusersScheduler(lambda: cls.from_config(own_config(info), **config), steps, device, at_step)
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


def own_config(info: ModelInfo) -> Mapping[str, Any]:
    """The configuration of the model's own scheduler with its class' defaults, from which any other is built."""
    if info.scheduler not in CLASS_NAMES:
        return info.scheduler_config
    config: Mapping[str, Any] = _class(info.scheduler, info.scheduler).from_config(dict(info.scheduler_config)).config
    return config


def _class(name: str, shown: str) -> Any:
    import diffusers

    cls = getattr(diffusers, name)
    if "dummy" in cls.__module__:
        missing = ", ".join(backend for backend in cls._backends if backend != "torch")
        raise RecipeError([f"scheduler '{shown}' needs {missing}: pip install {missing}"])
    return cls


def _step_options(cls: Any) -> list[str]:
    ours = {"self", "model_output", "timestep", "sample", "generator", "variance_noise", "return_dict"}
    return [name for name in inspect.signature(cls.step).parameters if name not in ours | {"pred_original_sample"}]
