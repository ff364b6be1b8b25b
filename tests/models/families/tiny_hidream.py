"""HiDream-I1."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import diffusers
import torch
import transformers
from tiny_parts import Case, autoencoder, byte_pairs, clip, clip_tokenizer, flow, pieces, seeded, shaken, t5
from tokenizers import processors


@cache
def llamas() -> Any:
    """As Llama's: a mark before every text, so that an empty one has a token."""
    tokenizer = deepcopy(byte_pairs())
    inner, mark = tokenizer.backend_tokenizer, "<|im_start|>"
    inner.post_processor = processors.TemplateProcessing(
        single=f"{mark} $A", special_tokens=[(mark, inner.token_to_id(mark))]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<|endoftext|>", eos_token="<|im_end|>", model_max_length=1024
    )


def long_clip() -> Any:
    """With places for more tokens than a prompt is filled up to."""
    config = deepcopy(clip(projected=True).config)
    config.max_position_embeddings = 128
    return transformers.CLIPTextModelWithProjection(config).eval()


def pipeline() -> Any:
    llama = transformers.LlamaConfig(
        vocab_size=len(llamas()),
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
    )
    net = diffusers.HiDreamImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        caption_channels=[24, 24],
        text_emb_dim=32,
        num_routed_experts=2,
        num_activated_experts=1,
        axes_dims_rope=(4, 6, 6),
        max_resolution=(24, 24),
        llama_layers=[0, 1, 2, 3],
    )
    return diffusers.HiDreamImagePipeline(
        scheduler=flow(shift=3.0, use_dynamic_shifting=True),
        vae=autoencoder(),
        text_encoder=long_clip(),
        tokenizer=clip_tokenizer(),
        text_encoder_2=long_clip(),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=t5(pieces()),
        tokenizer_3=pieces(),
        text_encoder_4=transformers.LlamaForCausalLM(llama).eval(),
        tokenizer_4=llamas(),
        transformer=shaken(net),
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    # It draws pictures of one area alone, whatever size they are asked for.
    pipe.default_sample_size = (call["width"] * call["height"]) ** 0.5 / 8 + 1e-6
    latents: torch.Tensor = pipe(prompt, negative_prompt=negative, guidance_scale=scale, latents=noise, **call).images
    return latents


CASES = [Case("hidream", "hidream", seeded(pipeline), drawn)]
