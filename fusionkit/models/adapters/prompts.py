"""Prompts as a pipeline is told them: each distinct text encoded once, those of a group made of one length."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from fusionkit.loop.finite import check_finite, wider_type
from fusionkit.loop.model import ModelInfo, TextToken
from fusionkit.models.adapters.batches import Embedding, Pair, slices_of
from fusionkit.models.adapters.pictures import PictureModel
from fusionkit.models.sharing import Turns


class PromptedModel(PictureModel):
    """A pipeline, as far as pictures and prompts go; a subclass encodes a text as its family does.

    Args:
        pipe: A pipeline; nothing of it is changed but what a call puts back.
        info: What its configuration tells.
        vae_tiling: Decode and encode in tiles, for large pictures on small devices.
        clip_skip: Layers of the text encoder to leave out, as in diffusers; None is none.
        turns: Shared by the models of a run, so that under offload only the one at work is on the device.
    """

    def __init__(
        self, pipe: Any, info: ModelInfo, *, vae_tiling: bool, clip_skip: int | None, turns: Turns | None
    ) -> None:
        super().__init__(pipe, info, vae_tiling=vae_tiling, turns=turns)
        self.clip_skip = clip_skip
        self._embeddings: dict[tuple[str, int | None], Embedding] = {}

    @abstractmethod
    def encode_prompt(self, text: str, clip_skip: int | None) -> Embedding:
        """The text encoder's answer to one prompt, each tensor with a first axis of 1."""

    @abstractmethod
    def text_tokens(self, prompt: str) -> list[TextToken]:
        """A prompt's tokens, with their places in the text that the image looks at."""

    @property
    @abstractmethod
    def blank(self) -> str:
        """A token that says nothing, as a prompt has it."""

    def embedded(self, prompt: str) -> Tensor:
        """A prompt as the denoiser's image looks at it, (1, L, D)."""
        return self.embed(prompt)[0]

    @abstractmethod
    def embed_negative(self, text: str) -> Embedding:
        """A negative prompt's embedding."""

    @abstractmethod
    def alike(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The embeddings of a group's views, made of one length as far as some must be."""

    @abstractmethod
    def key(self, pair: Pair) -> Hashable:
        """Which views may share a forward pass: those with one key."""

    def embed(self, text: str) -> Embedding:
        """A prompt's embedding; each distinct text is encoded once."""
        return self._cached(text, self.clip_skip)

    def forget_prompts(self) -> None:
        """Encode every text anew when it is next needed."""
        self._embeddings.clear()

    def pairs(self, texts: Sequence[tuple[str, str]], both: Sequence[bool]) -> list[Pair]:
        """The embeddings of a group's views, made of one length as far as some must be.

        Args:
            texts: Each view's prompt and negative prompt.
            both: Whether each is told both.
        """
        asked = list(zip(texts, both, strict=True))
        told = list(dict.fromkeys(asked))
        made = self.alike([self.pair(*each) if is_guided else (self.embed(each[0]),) for each, is_guided in told])
        found = dict(zip(told, made, strict=True))
        return [found[each] for each in asked]

    def slices(
        self, texts: Sequence[tuple[str, str]], both: Sequence[bool], scales: Sequence[float], size: int
    ) -> list[slice]:
        """Which neighbouring views of a group share a forward pass, `size` at most; as for `pairs`."""
        pairs = self.pairs(texts, both)
        return slices_of(pairs, [self.key(pair) for pair in pairs], scales, size)

    def pair(self, prompt: str, negative: str) -> Pair:
        """A view's two embeddings, both of one length where they must be."""
        return self.embed(prompt), self.embed_negative(negative)

    @torch.inference_mode()
    def _cached(self, text: str, clip_skip: int | None) -> Embedding:
        key = text, clip_skip
        if key not in self._embeddings:
            with self._at_work("text encoder or tokenizer"):
                embedding = self.encode_prompt(text, clip_skip)
            for part in embedding:
                check_finite(part, f"the text encoder's answer to '{text:.40}'", wider_type(part.dtype))
            self._embeddings[key] = embedding
        return self._embeddings[key]
