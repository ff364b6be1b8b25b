"""Whether two models have one latent space, by what their configurations tell. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose

from fusionkit.loop.model import ModelInfo

# Autoencoders whose latents are those of another class: smaller, or with another decoder.
_SAME = {"AsymmetricAutoencoderKL": "AutoencoderKL", "AutoencoderTiny": "AutoencoderKL"}


def latent_differences(ours: ModelInfo, theirs: ModelInfo) -> Iterator[str]:
    """What tells two models' latent spaces apart by their configurations, each as a part of a line."""
    classes = [_SAME.get(info.vae, info.vae) for info in (ours, theirs)]
    if classes[0] != classes[1]:
        yield f"autoencoders of {classes[0]} and {classes[1]}"
    if ours.channels != theirs.channels:
        yield f"latents of {ours.channels} and {theirs.channels} channels"
    if ours.factor != theirs.factor:
        yield f"latent pixels of {ours.factor} and {theirs.factor} pixels"
    if not (ours.scaling_factor and theirs.scaling_factor):
        return
    if not isclose(ours.scaling_factor, theirs.scaling_factor, rel_tol=1e-4):
        yield f"VAE scaling factors of {ours.scaling_factor:g} and {theirs.scaling_factor:g}"
    for what, neutral in (("mean", 0.0), ("std", 1.0)):
        mine, other = (getattr(info, f"latents_{what}") for info in (ours, theirs))
        if not _same(mine, other, neutral):
            yield f"VAE latents_{what} of {_listed(mine, neutral)} and {_listed(other, neutral)}"


def _same(some: tuple[float, ...], others: tuple[float, ...], neutral: float) -> bool:
    count = max(len(some), len(others))
    pairs = zip(some or (neutral,) * count, others or (neutral,) * count, strict=False)
    return all(isclose(one, other, rel_tol=1e-4, abs_tol=1e-6) for one, other in pairs)


def _listed(values: tuple[float, ...], neutral: float) -> str:
    told = [f"{value:g}" for value in values] or [f"{neutral:g}"]
    return told[0] if len(set(told)) == 1 else "/".join(told)
