"""The words of the captions: the tokenizer, and the text encoders that learn with the denoisers."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from fusionkit_vista.tokenizer import CONTEXT_LENGTH, build_tokenizer, token_ids

WIDTH = 128
POOLED = 64


def tokenizer_of(folder: Path, words: tuple[str, ...]) -> Any:
    """The tokenizer of the words, written into the folder `tokenizer` of a folder."""
    return build_tokenizer(words, folder / "tokenizer")


def build_clip(tokenizer: Any, width: int = WIDTH, layers: int = 2) -> Any:
    """An untrained CLIP text encoder."""
    transformers = import_module("transformers")
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT_LENGTH,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return transformers.CLIPTextModel(config)


def build_t5(tokenizer: Any) -> Any:
    """An untrained T5 encoder, which is what Flux reads the single words with."""
    transformers = import_module("transformers")
    config = transformers.T5Config(
        vocab_size=len(tokenizer),
        d_model=WIDTH,
        d_kv=WIDTH // 4,
        d_ff=2 * WIDTH,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        feed_forward_proj="relu",
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        is_encoder_decoder=False,
        use_cache=False,
    )
    return transformers.T5EncoderModel(config)


class Captions:
    """Captions as tokens on a device; equal ones are kept once.

    Args:
        tokenizer: Of the words.
        captions: One to each picture.
        device: Where the tokens are wanted.
    """

    def __init__(self, tokenizer: Any, captions: list[str], device: torch.device) -> None:
        unique = sorted(set(captions))
        number = {text: i for i, text in enumerate(unique)}
        self.ids = torch.tensor(token_ids(tokenizer, unique), device=device)
        self.rows = torch.tensor([number[text] for text in captions], device=device)
        self.empty = torch.tensor(token_ids(tokenizer, [""])[0], device=device)

    def of(self, chosen: torch.Tensor, dropped: torch.Tensor) -> torch.Tensor:
        """The tokens (n, CONTEXT_LENGTH) of chosen pictures; where `dropped` (n,) those of the empty caption."""
        return torch.where(dropped[:, None], self.empty, self.ids[self.rows[chosen]])
