"""Whether models of one latent space by their configurations have one encoder, too: by a few weights of their VAEs.

Importing this needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fusionkit.errors import FusionError
from fusionkit.models.files.folder import STEMS
from fusionkit.models.files.hub import cached_file
from fusionkit.models.files.weights import first_numbers, variants_of, weights_of
from fusionkit.models.inspect import locate
from fusionkit.recipe.recipe import ModelSpec

# The encoder's first and last layers, by which it is told from another one; two that are stored in types of 16 bits
# differ by less than this share of the largest number.
_LAYERS, _ROUNDING = ("encoder.conv_in.weight", "encoder.conv_out.weight"), 0.01


def encoder_notes(specs: Mapping[str, ModelSpec]) -> list[str]:
    """A line for each model whose VAE encodes otherwise than the main one's, as far as their files are on this machine.

    Equal configurations do not prove equal weights. Another decoder is harmless; another encoder makes other latents.

    Args:
        specs: The models by the recipe's names, the main one first.
    """
    if len(specs) < 2:
        return []
    (main, ours), *others = specs.items()
    mine = _encoder(ours)
    return [
        f"models '{main}' ({ours.model}) and '{name}' ({theirs.model}) have autoencoders that encode differently, "
        f"though their configurations agree; what they predict may be of different latents"
        for name, theirs in others
        if theirs.sources != ours.sources and not _alike(mine, _encoder(theirs))
    ]


def _alike(one: Mapping[str, list[float]], other: Mapping[str, list[float]]) -> bool:
    return all(_close(one[name], other[name]) for name in one.keys() & other.keys())


def _close(some: list[float], others: list[float]) -> bool:
    size = max(map(abs, (*some, *others)), default=0.0)
    return len(some) == len(others) and all(abs(a - b) <= _ROUNDING * size for a, b in zip(some, others, strict=True))


def _encoder(spec: ModelSpec) -> dict[str, list[float]]:
    """A few weights of a model's encoder, by layer; nothing where they can't be read here."""
    try:
        where = locate(spec.base or spec.model)
        found = cached_file(where, "model_index.json", spec.revision) if isinstance(where, str) else where
        if found is None or (isinstance(where, Path) and where.is_file()):
            return {}
        folder = (found.parent if found.is_file() else found) / "vae"
        variants = variants_of(folder, STEMS["vae"])
        variant = spec.variant if spec.variant in variants else (variants or [None])[0]
        weights = weights_of(folder, STEMS["vae"], variant, spec.model)
        files = weights.files if weights is not None else ()
        return {name: each for name in _LAYERS for file in files if (each := first_numbers(file, name))}
    except (FusionError, OSError, ValueError):
        # What is wrong with a model is said where the model is looked at.
        return {}
