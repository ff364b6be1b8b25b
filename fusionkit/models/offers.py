"""What diffusers has for a family, by its source: ControlNets, LoRAs and step caches. Imports no torch."""

from __future__ import annotations

from fusionkit.models.families.base import Family
from fusionkit.models.files.sources import bases_of, beside, written_in

_TRANSFORMERS = "models/transformers/*.py"
# What puts LoRAs on a UNet alone, whatever the pipeline that has it draws with.
_OF_UNETS = ("LoraLoaderMixin", "StableDiffusionLoraLoaderMixin", "StableDiffusionXLLoraLoaderMixin")
# With these the first-block cache of diffusers 0.42 fails, though it knows their layers.
_FAILING = ("Flux2Transformer2DModel",)


def takes_loras(family: Family) -> bool:
    """Whether the family's pipeline loads LoRAs."""
    bases = bases_of("pipelines/*/*.py", family.pipelines[0])
    unet = family.denoiser == "unet"
    return any(base.endswith("LoraLoaderMixin") and (unet or base not in _OF_UNETS) for base in bases)


def takes_controlnets(family: Family) -> bool:
    """Whether there are ControlNets for the family: of classes of its own, or of the one for all UNets."""
    return bool(family.controlnets) or family.denoiser == "unet"


def has_cache(family: Family) -> bool:
    """Whether step caches know the layers of the family's denoiser."""
    known = written_in("hooks/_helpers.py", r"model_class=(\w+)")
    for name in family.denoisers:
        if name in _FAILING:
            return False
        blocks = [each for each in beside(_TRANSFORMERS, name) if each.endswith("TransformerBlock")]
        if "CacheMixin" in bases_of(_TRANSFORMERS, name) and blocks:
            return all(block in known for block in blocks)
    return False
