"""Prompts as embeddings, where the pipeline's own way does not do: weights, and more tokens than an encoder reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from fusionkit.models.prompts.tokens import Frame, Token, chunks_of, frame_of
from fusionkit.recipe.prompt_syntax import Parsed

# A mean that changes by more than that is near to zero, and says nothing.
_STEADY = 2.0

Encode = Callable[[Any, Tensor, Tensor | None], tuple[Tensor, Tensor | None]]
"""From an encoder, ids (1, L) and a mask, to embeddings (1, L, D) and, where there is one, the pooled (1, E)."""


class Reader:
    """One tokenizer with its encoder.

    Args:
        tokenizer: One of transformers.
        encoder: The same.
        convert: What the pipeline does to a prompt before it is tokenized.
    """

    def __init__(self, tokenizer: Any, encoder: Any, convert: Callable[[str], str] = str) -> None:
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.convert = convert
        self.frame: Frame = frame_of(tokenizer, getattr(encoder.config, "max_position_embeddings", None))

    def chunks(self, prompt: Parsed) -> list[list[Token]]:
        """The prompt's tokens, in chunks."""
        return chunks_of(prompt, self.tokenizer, self.frame, self.convert)

    def embeddings(
        self, chunks: Sequence[Sequence[Token]], encode: Encode, device: torch.device
    ) -> tuple[Tensor, Tensor | None]:
        """The chunks' embeddings one after the other, (1, chunks L, D), and the first one's pooled form.

        Each chunk is encoded by itself, as AUTOMATIC1111's and other web UIs do. A token's weight multiplies its
        embedding, and the chunk's mean is restored afterwards, as there (modules/sd_hijack_clip.py); a mean that is too
        near to zero to be restored is left.
        """
        parts = []
        for chunk in chunks:
            ids = torch.tensor([self.frame.ids(chunk)], device=device)
            mask = None
            if getattr(self.encoder.config, "use_attention_mask", False):
                used = len(self.frame.before) + len(chunk) + len(self.frame.after)
                mask = (torch.arange(self.frame.length, device=device) < used).long()[None]
            embedded, pooled = encode(self.encoder, ids, mask)
            parts.append((self._weighted(embedded, chunk), pooled))
        return torch.cat([each for each, _ in parts], dim=1), parts[0][1]

    def _weighted(self, embedded: Tensor, chunk: Sequence[Token]) -> Tensor:
        if all(token.weight == 1 for token in chunk):
            return embedded
        weights = torch.ones(embedded.shape[1])
        begin = len(self.frame.before)
        weights[begin : begin + len(chunk)] = torch.tensor([token.weight for token in chunk])
        before = embedded.float()
        after = before * weights.to(embedded.device)[None, :, None]
        ratio = float(before.mean() / after.mean())
        if 1 / _STEADY <= ratio <= _STEADY:
            after = after * ratio
        return after.to(embedded.dtype)


def equal_lengths(chunks: Sequence[list[list[Token]]]) -> list[list[list[Token]]]:
    """Each encoder's chunks, with empty ones at the end where another encoder has more."""
    most = max(len(each) for each in chunks)
    return [[*each, *([] for _ in range(most - len(each)))] for each in chunks]


def final_norm(encoder: Any) -> Any:
    """The layer norm after the last layer; transformers 5 moved it."""
    return getattr(encoder, "text_model", encoder).final_layer_norm
