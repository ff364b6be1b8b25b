"""Kolors: SDXL's U-Net, which projects the tokens of a language model; its vocabulary is trained here."""

from __future__ import annotations

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import diffusers
import torch
from tiny_parts import TEXTS, Case, autoencoder, seeded, shaken

CHINESE = "一只红色的船在湖上"
WIDTH = 24
# Longer than SDXL's schedule, and noisier at its end.
BETAS = {"beta_start": 0.00085, "beta_end": 0.014, "beta_schedule": "scaled_linear", "num_train_timesteps": 1100}


@cache
def pieces() -> Any:
    """`ChatGLMTokenizer`: pieces of words, and bytes of what has none; a text is filled up at its front."""
    import sentencepiece
    from diffusers.pipelines.kolors import ChatGLMTokenizer

    # A tokenizer that is saved copies the file that it was made of.
    folder = mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "tokenizer.model"
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([*TEXTS, *[CHINESE] * 4]),
            model_writer=file,
            vocab_size=400,
            hard_vocab_limit=False,
            byte_fallback=True,
            num_threads=1,
            minloglevel=2,
        )
    return ChatGLMTokenizer(str(path))


def language_model(tokenizer: Any) -> Any:
    """`ChatGLMModel`, whose layers are not initialised by themselves."""
    from diffusers.pipelines.kolors import ChatGLMModel
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig

    config = ChatGLMConfig(
        num_layers=3,
        padded_vocab_size=tokenizer.vocab_size,
        hidden_size=WIDTH,
        ffn_hidden_size=32,
        kv_channels=12,
        num_attention_heads=2,
        seq_length=512,
        multi_query_attention=True,
        multi_query_group_num=1,
        add_qkv_bias=True,
        original_rope=True,
    )
    model = ChatGLMModel(config, empty_init=False).eval().requires_grad_(False)
    for name, weights in model.named_parameters():
        plain = torch.ones(()) if "norm" in name else torch.zeros(())
        weights.data = plain.expand(weights.shape).clone()
    return shaken(model)


def pipeline() -> Any:
    unet = diffusers.UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        layers_per_block=1,
        attention_head_dim=(2, 4),
        norm_num_groups=4,
        cross_attention_dim=16,
        encoder_hid_dim=WIDTH,
        encoder_hid_dim_type="text_proj",
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )
    shaken(unet).conv_out.weight.mul_(0.1)  # noise is about 1
    return diffusers.KolorsPipeline(
        vae=autoencoder(4, scaling_factor=0.13025, shift_factor=None),
        text_encoder=language_model(pieces()),
        tokenizer=pieces(),
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(**BETAS, steps_offset=1, timestep_spacing="leading"),
    )


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    latents: torch.Tensor = pipe(prompt, negative_prompt=negative, guidance_scale=scale, latents=noise, **call).images
    return latents


CASES = [Case("kolors", "kolors", seeded(pipeline), drawn)]
