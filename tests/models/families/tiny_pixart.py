"""PixArt-alpha, in its form that is told a size, and -sigma."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from tiny_parts import Case, autoencoder, pieces, seeded, shaken, t5


def pipeline(*, sigma: bool) -> Any:
    net = diffusers.PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=24,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        cross_attention_dim=48,
        sample_size=16 if sigma else 128,
        interpolation_scale=1,
        patch_size=2,
        caption_channels=24,
    )
    shaken(net).proj_out.weight.mul_(0.1)  # noise is about 1
    cls = diffusers.PixArtSigmaPipeline if sigma else diffusers.PixArtAlphaPipeline
    return cls(
        tokenizer=pieces(),
        text_encoder=t5(pieces()),
        vae=autoencoder(4, scaling_factor=0.13025 if sigma else 0.18215, shift_factor=None),
        transformer=net,
        scheduler=diffusers.DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.01, beta_schedule="linear"),
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    plain = {"use_resolution_binning": False, "clean_caption": False}
    guided = {"negative_prompt": negative, "guidance_scale": scale}
    latents: torch.Tensor = pipe(prompt, **guided, **plain, latents=noise, **call).images
    return latents


CASES = [
    Case("pixart-alpha", "pixart-alpha", seeded(lambda: pipeline(sigma=False)), drawn),
    Case("pixart-sigma", "pixart-sigma", seeded(lambda: pipeline(sigma=True)), drawn),
]
