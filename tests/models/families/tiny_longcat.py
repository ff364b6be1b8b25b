"""LongCat-Image."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
import transformers
from tiny_parts import Case, autoencoder, byte_pairs, flow, packed, seeded, shaken, unpacked


def pipeline() -> Any:
    text = {
        "vocab_size": len(byte_pairs()),
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 1024,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 2, 2], "rope_type": "default"},
    }
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 24}
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision)
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
        text_encoder=transformers.Qwen2_5_VLForConditionalGeneration(config).eval(),
        tokenizer=byte_pairs(),
        text_processor=None,
        transformer=shaken(net),
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    given = {"negative_prompt": negative, "guidance_scale": scale, "enable_prompt_rewrite": False}
    return unpacked(pipe, pipe(prompt, **given, latents=packed(pipe, noise), **call).images, noise)


CASES = [Case("longcat", "longcat", seeded(pipeline), drawn)]
