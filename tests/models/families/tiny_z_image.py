"""Z-Image."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
import transformers
from tiny_parts import Case, autoencoder, byte_pairs, flow, qwen3, seeded, shaken


def pipeline() -> Any:
    net = diffusers.ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=16,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=24,
        axes_dims=[4, 6, 6],
        axes_lens=[256, 64, 64],
    )
    return diffusers.ZImagePipeline(
        scheduler=flow(shift=3.0, use_dynamic_shifting=False),
        vae=autoencoder(),
        text_encoder=transformers.Qwen3Model(qwen3(byte_pairs())).eval(),
        tokenizer=byte_pairs(),
        transformer=shaken(net),
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    # Its scale counts from 0.
    latents: torch.Tensor = pipe(
        prompt, negative_prompt=negative, guidance_scale=scale - 1, latents=noise, **call
    ).images
    return latents


CASES = [Case("z-image", "z-image", seeded(pipeline), drawn)]
