"""LongCat-Image."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from tiny_parts import Case, autoencoder, byte_pairs, flow, packed, qwen2_5_vl, seeded, shaken, unpacked


def pipeline() -> Any:
    net = diffusers.LongCatImageTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        pooled_projection_dim=24,
        axes_dims_rope=[4, 6, 6],
    )
    return diffusers.LongCatImagePipeline(
        scheduler=flow(shift=3.0, use_dynamic_shifting=True),
        vae=autoencoder(),
        text_encoder=qwen2_5_vl(byte_pairs()),
        tokenizer=byte_pairs(),
        text_processor=None,
        transformer=shaken(net),
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    given = {"negative_prompt": negative, "guidance_scale": scale, "enable_prompt_rewrite": False}
    return unpacked(pipe, pipe(prompt, **given, latents=packed(pipe, noise), **call).images, noise)


CASES = [Case("longcat", "longcat", seeded(pipeline), drawn)]
