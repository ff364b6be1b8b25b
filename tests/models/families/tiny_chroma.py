"""Chroma."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from tiny_parts import Case, autoencoder, flow, packed, pieces, seeded, shaken, t5, unpacked


def pipeline() -> Any:
    net = diffusers.ChromaTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        axes_dims_rope=(4, 6, 6),
        approximator_num_channels=8,
        approximator_hidden_dim=16,
        approximator_layers=1,
    )
    return diffusers.ChromaPipeline(
        scheduler=flow(shift=1.0),
        vae=autoencoder(),
        text_encoder=t5(pieces()),
        tokenizer=pieces(),
        transformer=shaken(net),
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    guided = {"negative_prompt": negative, "guidance_scale": scale}
    return unpacked(pipe, pipe(prompt, **guided, latents=packed(pipe, noise), **call).images, noise)


CASES = [Case("chroma", "chroma", seeded(pipeline), drawn)]
