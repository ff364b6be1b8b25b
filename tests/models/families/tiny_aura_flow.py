"""AuraFlow."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
import transformers
from tiny_parts import Case, autoencoder, flow, pieces, seeded, shaken


def encoder() -> Any:
    config = transformers.UMT5Config(
        vocab_size=len(pieces()),
        d_model=24,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        pad_token_id=0,
        eos_token_id=1,
    )
    return transformers.UMT5EncoderModel(config).eval()


def pipeline() -> Any:
    net = diffusers.AuraFlowTransformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        caption_projection_dim=32,
        out_channels=4,
        pos_embed_max_size=256,
    )
    shaken(net).proj_out.weight.mul_(0.3)  # a velocity of about 1
    return diffusers.AuraFlowPipeline(
        tokenizer=pieces(),
        text_encoder=encoder(),
        vae=autoencoder(4, scaling_factor=0.13025, shift_factor=None),
        transformer=net,
        scheduler=flow(shift=1.73),
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    latents: torch.Tensor = pipe(prompt, negative_prompt=negative, guidance_scale=scale, latents=noise, **call).images
    return latents


CASES = [Case("aura-flow", "aura-flow", seeded(pipeline), drawn)]
