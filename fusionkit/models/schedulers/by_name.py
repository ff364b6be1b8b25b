"""Schedulers by name: those that fusionkit offers, and what becomes of a name in a recipe. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fusionkit.errors import RecipeError, did_you_mean
from fusionkit.recipe.schedulers import Offer, broken_tables, offered_schedulers, refused_schedulers

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo
    from fusionkit.recipe.recipe import SchedulerSpec


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

FLOW = "is for flow-matching models; this one predicts noise or velocity"
_OTHER = "is made for another kind of model"
UNSUITABLE: Mapping[str, str] = {
    "FlowMatchEulerDiscreteScheduler": FLOW,
    "FlowMatchHeunDiscreteScheduler": FLOW,
    "FlowMatchLCMScheduler": FLOW,
    "FlowMapEulerDiscreteScheduler": FLOW,
    "LTXEulerAncestralRFScheduler": FLOW,
    "SCMScheduler": FLOW,
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


OFFERED: Mapping[str, Offer] = {**SHORT_NAMES, **{name: (name, {}) for name in CLASS_NAMES}}
"""What fusionkit itself offers in the entry point group `fusionkit.schedulers`."""


def known_schedulers() -> list[str]:
    """Every name that a recipe may give: fusionkit's short names and class names, then those of other packages."""
    return list(offered_schedulers())


def resolve(spec: SchedulerSpec) -> str:
    """The class of a recipe's scheduler: its name in diffusers, or `module:Class` of another package.

    Raises:
        RecipeError: The name is not known, or its class does not suit Stable Diffusion.
    """
    return by_name(spec.name)[0]


def named(info: ModelInfo, spec: SchedulerSpec | None) -> tuple[str, Mapping[str, Any], str]:
    """The class of a recipe's scheduler, or else of the model's own, what a short name stands for, and the name.

    Raises:
        RecipeError: The name is not known, or its class does not suit Stable Diffusion.
    """
    shown = info.scheduler if spec is None else spec.name
    return (*by_name(shown), shown)


def by_name(name: str) -> Offer:
    """The class of a scheduler, and the options that its name stands for.

    Raises:
        RecipeError: The name is not known, or its class does not suit Stable Diffusion.
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
    hint = did_you_mean(lowered.get(name.lower(), name), offered)
    listed = ", ".join(known for known in offered if known not in CLASS_NAMES)
    lost = "".join(f"; {reason}" for reason in broken_tables())
    raise RecipeError([f"no scheduler '{name}'{hint or f'; known are: {listed}'}{lost}"])
