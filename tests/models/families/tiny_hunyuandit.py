"""HunyuanDiT 1.1, which is told the picture's size and a view's place, and 1.2, which is not."""

from __future__ import annotations

from functools import cache
from typing import Any

import diffusers
import torch
import transformers
from tiny_parts import TEXTS, Case, autoencoder, pieces, seeded, shaken, t5
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers


@cache
def words() -> Any:
    """As BERT's."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=160, special_tokens=marks, show_progress=False)
    )
    ends = [(mark, tokenizer.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=77,
    )


def pipeline(*, told: bool) -> Any:
    bert = transformers.BertConfig(
        vocab_size=len(words()),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=77,
    )
    net = diffusers.HunyuanDiT2DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        patch_size=2,
        sample_size=16,
        hidden_size=32,
        num_layers=4,
        mlp_ratio=2.0,
        cross_attention_dim=16,
        cross_attention_dim_t5=24,
        pooled_projection_dim=16,
        text_len=77,
        text_len_t5=256,
        use_style_cond_and_image_meta_size=told,
        activation_fn="gelu-approximate",
    )
    return diffusers.HunyuanDiTPipeline(
        vae=autoencoder(4, scaling_factor=0.13025, shift_factor=None),
        text_encoder=transformers.BertModel(bert).eval(),
        tokenizer=words(),
        transformer=shaken(net),
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.018,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            steps_offset=1,
            clip_sample=False,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        text_encoder_2=t5(pieces(256)),
        tokenizer_2=pieces(256),
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


CASES = [Case("hunyuandit-1.1", "hunyuandit", seeded(lambda: pipeline(told=True)), drawn)]

UNTOLD = Case("hunyuandit-1.2", "hunyuandit", seeded(lambda: pipeline(told=False)), drawn)
