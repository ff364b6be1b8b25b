"""CogView 4."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import diffusers
import torch
import transformers
from tiny_parts import Case, autoencoder, byte_pairs, flow, seeded, shaken
from tokenizers import processors


@cache
def tokenizer() -> Any:
    """As GLM's: two marks before every text, and what fills it up before them."""
    inner = deepcopy(byte_pairs()).backend_tokenizer
    mark = "<|im_start|>"
    inner.post_processor = processors.TemplateProcessing(
        single=f"{mark} {mark} $A", special_tokens=[(mark, inner.token_to_id(mark))]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<|endoftext|>", model_max_length=1024, padding_side="left"
    )


def pipeline() -> Any:
    config = transformers.GlmConfig(
        vocab_size=len(tokenizer()),
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=12,
        max_position_embeddings=1024,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=1,
    )
    net = diffusers.CogView4Transformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        text_embed_dim=24,
        time_embed_dim=16,
        condition_dim=8,
        sample_size=16,
        rope_axes_dim=(64, 64),
    )
    return diffusers.CogView4Pipeline(
        tokenizer=tokenizer(),
        text_encoder=transformers.GlmModel(config).eval(),
        vae=autoencoder(scaling_factor=1.0, shift_factor=0.0),
        transformer=shaken(net),
        scheduler=flow(
            base_shift=0.25,
            max_shift=0.75,
            base_image_seq_len=256,
            use_dynamic_shifting=True,
            time_shift_type="linear",
        ),
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    latents: torch.Tensor = pipe(prompt, negative_prompt=negative, guidance_scale=scale, latents=noise, **call).images
    return latents


CASES = [Case("cogview4", "cogview4", seeded(pipeline), drawn)]
