"""Lumina-Image 2."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from tiny_parts import Case, autoencoder, begun_byte_pairs, flow, gemma2, seeded, shaken


def pipeline() -> Any:
    net = diffusers.Lumina2Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=16,
        hidden_size=48,
        num_layers=2,
        num_refiner_layers=1,
        num_attention_heads=3,
        num_kv_heads=1,
        multiple_of=16,
        axes_dim_rope=(4, 6, 6),
        axes_lens=(300, 64, 64),
        cap_feat_dim=24,
    )
    return diffusers.Lumina2Pipeline(
        transformer=shaken(net),
        scheduler=flow(shift=6.0),
        vae=autoencoder(),
        text_encoder=gemma2(begun_byte_pairs()),
        tokenizer=begun_byte_pairs(),
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    latents: torch.Tensor = pipe(prompt, negative_prompt=negative, guidance_scale=scale, latents=noise, **call).images
    return latents


CASES = [Case("lumina2", "lumina2", seeded(pipeline), drawn)]
