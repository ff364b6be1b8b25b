"""Krea 2, guided and distilled."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
import transformers
from tiny_parts import Case, byte_pairs, flow, qwen_autoencoder, seeded, shaken


def pipeline(*, distilled: bool) -> Any:
    text = {
        "vocab_size": len(byte_pairs()),
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 12,
        "max_position_embeddings": 1024,
        "rope_scaling": {"mrope_section": [2, 2, 2], "rope_type": "default", "mrope_interleaved": True},
    }
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 24}
    config = transformers.Qwen3VLConfig(text_config=text, vision_config={**vision, "deepstack_visual_indexes": [0]})
    net = diffusers.Krea2Transformer2DModel(
        in_channels=64,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        timestep_embed_dim=16,
        text_hidden_dim=24,
        num_text_layers=3,
        text_num_attention_heads=2,
        text_num_key_value_heads=2,
        text_intermediate_size=32,
        num_layerwise_text_blocks=1,
        num_refiner_text_blocks=1,
        axes_dims_rope=(4, 6, 6),
    )
    return diffusers.Krea2Pipeline(
        scheduler=flow(
            use_dynamic_shifting=True,
            base_shift=0.5,
            max_shift=1.15,
            base_image_seq_len=256,
            max_image_seq_len=6400,
        ),
        vae=qwen_autoencoder(),
        text_encoder=transformers.Qwen3VLModel(config).eval(),
        tokenizer=byte_pairs(),
        transformer=shaken(net),
        text_encoder_select_layers=(1, 2, 4),
        is_distilled=distilled,
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    """Its guidance scale counts from 0."""
    _, channels, height, width = noise.shape
    tokens = pipe._pack_latents(noise, 1, channels, height, width)
    answer = pipe(prompt, negative_prompt=negative, guidance_scale=scale - 1, latents=tokens, **call).images
    latents: torch.Tensor = pipe._unpack_latents(answer, 8 * height, 8 * width)[:, :, 0]
    return latents


CASES = [Case("krea2", "krea2", seeded(lambda: pipeline(distilled=False)), drawn)]

DISTILLED = Case("krea2-distilled", "krea2", seeded(lambda: pipeline(distilled=True)), drawn)
