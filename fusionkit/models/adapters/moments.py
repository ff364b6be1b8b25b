"""What an autoencoder's latents are shifted and divided by before a denoiser gets them, and back."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def moments(vae: Any, like: Tensor) -> tuple[Tensor | float, Tensor | float]:
    """Mean and standard deviation of the VAE's latents, as far as it tells them.

    Args:
        vae: One of diffusers.
        like: Latents, (1, C, H, W).
    """
    if (norm := getattr(vae, "bn", None)) is not None:
        # A batch norm of packed latents, whose channels are 2 x 2 latent pixels: a pattern on unpacked ones.
        high, wide = vae.config.patch_size
        tiles = 1, 1, like.shape[-2] // high, like.shape[-1] // wide
        deviation = (norm.running_var + vae.config.batch_norm_eps).sqrt()
        mean, std = (part.to(like).view(1, -1, high, wide).tile(tiles) for part in (norm.running_mean, deviation))
        return mean, std
    told, spread = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if told is None or spread is None:
        return vae.config.get("shift_factor") or 0.0, 1.0
    return like.new_tensor(told).view(1, -1, 1, 1), like.new_tensor(spread).view(1, -1, 1, 1)


def scaled(vae: Any, latents: Tensor) -> Tensor:
    """The VAE's latents as a denoiser takes them."""
    mean, std = moments(vae, latents)
    result: Tensor = (latents - mean) * _factor(vae) / std
    return result


def unscaled(vae: Any, latents: Tensor) -> Tensor:
    """A denoiser's latents as the VAE takes them."""
    mean, std = moments(vae, latents)
    result: Tensor = latents * std / _factor(vae) + mean
    return result


def _factor(vae: Any) -> float:
    return float(vae.config.get("scaling_factor") or 1.0)
