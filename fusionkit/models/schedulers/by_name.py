"""Schedulers by name: those that fusionkit offers, and what becomes of a name in a recipe. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fusionkit.errors import RecipeError, did_you_mean
from fusionkit.recipe.schedulers import Offer, broken_tables, is_foreign, offered_schedulers, refused_schedulers

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo
    from fusionkit.recipe.recipe import SchedulerSpec


# What other programs call schedulers, where it is no other spelling.
_OTHERS = {
    "dpm2": "kdpm2",
    "dpm2-karras": "kdpm2-karras",
    "dpm2-a": "kdpm2-a",
    "dpm2-a-karras": "kdpm2-a-karras",
    "dpm-2": "kdpm2",
    "dpm-2-ancestral": "kdpm2-a",
    "dpm++": "dpm++-2m",
    "plms": "pndm",
    "uni-pc": "unipc",
    "uni-pc-karras": "unipc-karras",
    "flow-match-euler": "flow-euler",
}
_KARRAS = {"use_karras_sigmas": True}
_MULTISTEP, _SINGLESTEP = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
_PLUS = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_SDE = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}

SHORT_NAMES: Mapping[str, Offer] = {
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

FLOW_NAMES: Mapping[str, Offer] = {
    "flow-euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "flow-euler-a": ("LTXEulerAncestralRFScheduler", {}),
    "flow-heun": ("FlowMatchHeunDiscreteScheduler", {}),
    "flow-lcm": ("FlowMatchLCMScheduler", {}),
}
"""Short names for models of flows alone."""

FLOW_CLASSES: tuple[str, ...] = tuple(sorted(name for name, _ in FLOW_NAMES.values()))

FLOW_OR_NOISE: tuple[str, ...] = (_MULTISTEP, "UniPCMultistepScheduler")
"""Classes, and so all of their names, that solve for whatever the model answers."""

FLOW = "flow_prediction"
"""What a model of a flow answers, as diffusers calls it."""

_OTHER = "is made for another kind of model"
UNSUITABLE: Mapping[str, str] = {
    "FlowMapEulerDiscreteScheduler": "is for flow-map models; 'flow-lcm' is the one for few steps of a flow",
    "SCMScheduler": _OTHER,
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


OFFERED: Mapping[str, Offer] = {
    **SHORT_NAMES,
    **FLOW_NAMES,
    **{name: (name, {}) for name in (*CLASS_NAMES, *FLOW_CLASSES)},
}
"""What fusionkit itself offers in the entry point group `fusionkit.schedulers`."""


def known_schedulers() -> list[str]:
    """Every name that a recipe may give: fusionkit's short names and class names, then those of other packages."""
    return list(offered_schedulers())


def resolve(spec: SchedulerSpec) -> str:
    """The class of a recipe's scheduler: its name in diffusers, or `module:Class` of another package.

    Raises:
        RecipeError: The name is not known, or its class is for another kind of model.
    """
    return by_name(spec.name)[0]


def named(info: ModelInfo, spec: SchedulerSpec | None) -> tuple[str, Mapping[str, Any], str]:
    """The class of a recipe's scheduler, or else of the model's own, what a short name stands for, and the name.

    Raises:
        RecipeError: The name is not known, or its class is for another kind of model.
    """
    shown = info.scheduler if spec is None else spec.name
    name, options = by_name(shown)
    # Of a class of another package nothing is known before it is imported.
    if not is_foreign(name) and (problem := _unsuited(info, name, shown, own=spec is None)):
        raise RecipeError([problem])
    return name, options, shown


def is_flow(info: ModelInfo) -> bool:
    """Whether a model is one of a flow, which answers the velocity of latents (1 - s) x0 + s eps."""
    return info.prediction_type == FLOW


def is_edm(scheduler: str) -> bool:
    """Whether a scheduler's class is of the EDM family, whose latents are not noised in variance-preserving form."""
    return scheduler.startswith("EDM")


def stochastic_names(info: ModelInfo) -> str:
    """Schedulers that draw noise and solve an SDE with it, as errors name them for a model."""
    return "flow-euler-a or dpm++-2m-sde" if is_flow(info) else "ddpm, euler-a or ddim: {eta: 1.0}"


def _unsuited(info: ModelInfo, name: str, shown: str, *, own: bool) -> str:
    """Why a class can't solve what a model answers, in one line; empty where it can."""
    whose = f"the model's own scheduler, {shown}," if own else f"scheduler '{shown}'"
    if is_flow(info) and name not in (*FLOW_CLASSES, *FLOW_OR_NOISE):
        known = ", ".join((*FLOW_NAMES, "unipc", "dpm++-2m", "dpm++-2m-sde"))
        return (
            f"{whose} is for models that predict noise, and '{info.name}' is a flow-matching model; use one of: {known}"
        )
    if not is_flow(info) and name in FLOW_CLASSES:
        instead = "euler-a" if "Ancestral" in name else "lcm" if "LCM" in name else "euler"
        what = _PREDICTED.get(info.prediction_type, info.prediction_type)
        return f"{whose} is for flow-matching models, and '{info.name}' predicts {what}; use another, such as {instead}"
    return ""


_PREDICTED = {"epsilon": "noise", "v_prediction": "velocity (v)", "sample": "clean latents"}


def _as_ours(name: str) -> str:
    """What other programs call a scheduler, such as `DPM++ 2M Karras` or `k_dpmpp_2m_sde`, spelt as here."""
    words = re.sub(r"[\s_-]+", "-", name.strip().lower().replace("dpmpp", "dpm++").replace("2msde", "2m-sde"))
    words = re.sub(r"^k-|-gpu$|-discrete", "", words)
    return _OTHERS.get(words, words.replace("-ancestral", "-a"))


def by_name(name: str) -> Offer:
    """The class of a scheduler, and the options that its name stands for.

    Raises:
        RecipeError: The name is not known, or its class is for another kind of model.
    """
    offered = offered_schedulers()
    for each in (name.lower().replace("_", "-"), name):
        if each in offered:
            return offered[each]
    if name in UNSUITABLE:
        raise RecipeError([f"scheduler '{name}' {UNSUITABLE[name]}"])
    if reason := refused_schedulers().get(name):
        raise RecipeError([f"scheduler '{name}' {reason}"])
    lowered = {known.lower(): known for known in offered}
    other = _as_ours(name)
    hint = did_you_mean(other if other in offered else lowered.get(name.lower(), name), offered)
    listed = ", ".join(known for known in offered if known not in (*CLASS_NAMES, *FLOW_CLASSES))
    lost = "".join(f"; {reason}" for reason in broken_tables())
    raise RecipeError([f"no scheduler '{name}'{hint or f'; known are: {listed}'}{lost}"])
