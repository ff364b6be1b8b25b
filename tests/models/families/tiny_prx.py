"""PRX, whose text encoder is one half of T5Gemma."""

from __future__ import annotations

from functools import cache
from typing import Any

import diffusers
import torch
import transformers
from tiny_parts import Case, autoencoder, begun_byte_pairs, flow, seeded, shaken


@cache
def tokenizer() -> Any:
    """As Gemma's, of a length that its pipeline fills every prompt up to."""
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=begun_byte_pairs().backend_tokenizer,
        bos_token="<|im_start|>",
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        model_max_length=256,
        padding_side="right",
    )


def t5_gemma() -> Any:
    from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

    marks = {name: getattr(tokenizer(), name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    half = {
        "vocab_size": len(tokenizer()),
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 12,
        **marks,
    }
    config = transformers.T5GemmaConfig(encoder=half, decoder=half, vocab_size=len(tokenizer()), **marks)
    model = T5GemmaEncoder(config.encoder).eval()

    def save(folder: str, **options: Any) -> None:
        """As it is published: with the configuration of both halves, which diffusers takes this one's from."""
        T5GemmaEncoder.save_pretrained(model, folder, **options)
        config.save_pretrained(folder)

    model.save_pretrained = save
    return model


def pipeline() -> Any:
    net = diffusers.PRXTransformer2DModel(
        in_channels=16, context_in_dim=24, hidden_size=32, num_heads=2, depth=2, axes_dim=[8, 8]
    )
    shaken(net).final_layer.linear.weight.mul_(0.5)  # a velocity of about 1
    return diffusers.PRXPipeline(
        transformer=net,
        scheduler=flow(shift=3.0),
        text_encoder=t5_gemma(),
        tokenizer=tokenizer(),
        vae=autoencoder(),
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    latents: torch.Tensor = pipe(
        prompt,
        negative_prompt=negative,
        guidance_scale=scale,
        latents=noise,
        use_resolution_binning=False,
        **call,
    ).images
    return latents


CASES = [Case("prx", "prx", seeded(pipeline), drawn)]
