"""Stable Diffusion 3 without T5, and 3.5 with it and with two attentions in a block."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from tiny_parts import Case, autoencoder, clip, clip_tokenizer, flow, pieces, seeded, shaken, t5


def pipeline(*, newer: bool) -> Any:
    net = diffusers.SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=16,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pooled_projection_dim=32,
        out_channels=16,
        pos_embed_max_size=48,
        dual_attention_layers=(0,) if newer else (),
        qk_norm="rms_norm" if newer else None,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=shaken(net),
        scheduler=flow(shift=3.0),
        vae=autoencoder(scaling_factor=1.5305, shift_factor=0.0609),
        text_encoder=clip(projected=True),
        tokenizer=clip_tokenizer(),
        text_encoder_2=clip(projected=True),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=t5(pieces(), 32) if newer else None,
        tokenizer_3=pieces() if newer else None,
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    latents: torch.Tensor = pipe(prompt, negative_prompt=negative, guidance_scale=scale, latents=noise, **call).images
    return latents


CASES = [
    Case("sd3-without-t5", "sd3", seeded(lambda: pipeline(newer=False)), drawn),
    Case("sd35-with-t5", "sd3", seeded(lambda: pipeline(newer=True)), drawn),
]
