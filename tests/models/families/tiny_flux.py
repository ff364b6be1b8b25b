"""Flux.1: dev, whose guidance scale is an input, schnell, with guidance by a negative prompt, and one that fills in."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from tiny_parts import Case, autoencoder, clip, clip_tokenizer, flow, packed, pieces, seeded, shaken, t5, unpacked


def pipeline(*, embedded: bool, fills: bool = False) -> Any:
    net = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=384 if fills else 64,
        out_channels=64,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        pooled_projection_dim=16,
        guidance_embeds=embedded,
        axes_dims_rope=(4, 6, 6),
    )
    kind = diffusers.FluxFillPipeline if fills else diffusers.FluxPipeline
    return kind(
        scheduler=flow(shift=3.0, use_dynamic_shifting=True),
        vae=autoencoder(),
        text_encoder=clip(projected=False),
        tokenizer=clip_tokenizer(),
        text_encoder_2=t5(pieces()),
        tokenizer_2=pieces(),
        transformer=shaken(net),
    )


def drawn_by_dev(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    return unpacked(pipe, pipe(prompt, guidance_scale=scale, latents=packed(pipe, noise), **call).images, noise)


def drawn_by_schnell(
    pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any
) -> torch.Tensor:
    guided = {"negative_prompt": negative, "true_cfg_scale": scale}
    return unpacked(pipe, pipe(prompt, **guided, latents=packed(pipe, noise), **call).images, noise)


CASES = [
    Case("flux-dev", "flux", seeded(lambda: pipeline(embedded=True)), drawn_by_dev, negative=False),
    Case("flux-schnell", "flux", seeded(lambda: pipeline(embedded=False)), drawn_by_schnell),
]

# Not among the cases: it draws no picture from a prompt alone.
FILL = Case("flux-fill", "flux", seeded(lambda: pipeline(embedded=True, fills=True)), drawn_by_dev, negative=False)
