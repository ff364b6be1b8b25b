"""Ovis-Image."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
import transformers
from tiny_parts import Case, autoencoder, byte_pairs, flow, packed, qwen3, seeded, shaken, unpacked


def pipeline() -> Any:
    net = diffusers.OvisImageTransformer2DModel(
        patch_size=1,
        in_channels=64,
        out_channels=64,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        axes_dims_rope=(4, 6, 6),
    )
    return diffusers.OvisImagePipeline(
        scheduler=flow(shift=3.0, use_dynamic_shifting=True),
        vae=autoencoder(),
        text_encoder=transformers.Qwen3Model(qwen3(byte_pairs())).eval(),
        tokenizer=byte_pairs(),
        transformer=shaken(net),
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    guided = {"negative_prompt": negative, "guidance_scale": scale}
    return unpacked(pipe, pipe(prompt, **guided, latents=packed(pipe, noise), **call).images, noise)


CASES = [Case("ovis", "ovis", seeded(pipeline), drawn)]
