"""Qwen-Image, whose autoencoder is one of videos."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from tiny_parts import Case, byte_pairs, flow, packed, qwen2_5_vl, qwen_autoencoder, seeded, shaken, unpacked


def pipeline() -> Any:
    net = diffusers.QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=64,
        out_channels=16,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        axes_dims_rope=(4, 6, 6),
    )
    return diffusers.QwenImagePipeline(
        scheduler=flow(
            shift=1.0,
            use_dynamic_shifting=True,
            base_shift=0.5,
            max_shift=0.9,
            max_image_seq_len=8192,
            shift_terminal=0.02,
        ),
        vae=qwen_autoencoder(),
        text_encoder=qwen2_5_vl(byte_pairs()),
        tokenizer=byte_pairs(),
        transformer=shaken(net),
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    guided = {"negative_prompt": negative, "true_cfg_scale": scale}
    images = pipe(prompt, **guided, latents=packed(pipe, noise), **call).images
    return unpacked(pipe, images, noise)[:, :, 0]


CASES = [Case("qwen-image", "qwen-image", seeded(pipeline), drawn)]
