"""Qwen-Image, whose autoencoder is one of videos."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
import transformers
from tiny_parts import Case, byte_pairs, flow, packed, seeded, shaken, unpacked


def text_encoder() -> Any:
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
    return transformers.Qwen2_5_VLForConditionalGeneration(config).eval()


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
    vae = diffusers.AutoencoderKLQwenImage(
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1 * number - 0.8 for number in range(16)],
        latents_std=[1 + 0.1 * number for number in range(16)],
    ).eval()
    return diffusers.QwenImagePipeline(
        scheduler=flow(
            shift=1.0,
            use_dynamic_shifting=True,
            base_shift=0.5,
            max_shift=0.9,
            max_image_seq_len=8192,
            shift_terminal=0.02,
        ),
        vae=vae,
        text_encoder=text_encoder(),
        tokenizer=byte_pairs(),
        transformer=shaken(net),
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    guided = {"negative_prompt": negative, "true_cfg_scale": scale}
    images = pipe(prompt, **guided, latents=packed(pipe, noise), **call).images
    return unpacked(pipe, images, noise)[:, :, 0]


CASES = [Case("qwen-image", "qwen-image", seeded(pipeline), drawn)]
