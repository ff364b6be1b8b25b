"""A pipeline with a UNet, and text encoders that read a prompt in chunks: what Stable Diffusion 1, 2 and XL share."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionkit.loop.model import TextToken
from fusionkit.loop.stage import Control, ImagePrompt
from fusionkit.models.adapters.batches import Batch, Embedding, Pair
from fusionkit.models.adapters.diffusers_model import DiffusersModel
from fusionkit.models.adapters.looking import BY, layer_patches, looking
from fusionkit.models.adapters.steering import residuals
from fusionkit.models.image_prompts.loaded import ImagePrompts
from fusionkit.models.patching import plain
from fusionkit.models.prompts.encoding import Reader
from fusionkit.models.prompts.tokens import text_tokens
from fusionkit.recipe.prompt_syntax import parse

if TYPE_CHECKING:
    from PIL.Image import Image


class UNetModel(DiffusersModel):
    """A subclass says what a view is told, and how one prompt is encoded."""

    @property
    def readers(self) -> list[Reader]:
        """The pipeline's tokenizers with their encoders."""
        parts = [("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")]
        pairs = [(getattr(self.pipe, one, None), getattr(self.pipe, other, None)) for one, other in parts]
        return [
            Reader(tokenizer, encoder, partial(self.pipe.maybe_convert_prompt, tokenizer=tokenizer))
            for tokenizer, encoder in pairs
            if tokenizer is not None and encoder is not None
        ]

    @property
    def chunk_length(self) -> int:
        """How many tokens the text encoders read at once: 77 for CLIP."""
        return self.readers[0].frame.length

    def as_one_chunk(self, text: str) -> str | None:
        """A prompt's words where the pipeline's own way encodes them; None of weights and of several chunks."""
        parsed = parse(text)
        if parsed.weighted or any(len(reader.chunks(parsed)) > 1 for reader in self.readers):
            return None
        return parsed.text

    def text_tokens(self, prompt: str) -> list[TextToken]:
        """Of the first tokenizer, chunk after chunk; where there are two, the denoiser sees both at one place."""
        first = self.readers[0]
        return text_tokens(prompt, first.tokenizer, first.convert, self.chunk_length)

    @property
    def blank(self) -> str:
        """The first tokenizer's end of a text."""
        return str(self.readers[0].tokenizer.eos_token)

    def embed_negative(self, text: str) -> Embedding:
        """A negative prompt's embedding; diffusers skips no layers of it."""
        return self._cached(text, None)

    def alike(self, pairs: Sequence[Pair]) -> list[Pair]:
        """As they are: a view's two halves are of equally many chunks."""
        return list(pairs)

    def key(self, pair: Pair) -> Hashable:
        """The number of tokens: what a view is told depends on no other one's prompt."""
        return pair[0][0].shape[1]

    def pair(self, prompt: str, negative: str) -> Pair:
        """A view's two embeddings, both of equally many chunks."""
        pair = self.embed(prompt), self.embed_negative(negative)
        # The shorter one goes on with what an empty prompt of its kind is.
        most = max(embeds.shape[1] for embeds, *_ in pair)
        if all(embeds.shape[1] == most for embeds, *_ in pair):
            return pair
        # Zeros stand for a whole negative prompt that is empty, not for the end of one.
        end = self.embed_negative("") if negative == "" else self._cached("", None)
        return _longer(pair[0], most, self.embed("")), _longer(pair[1], most, end)

    def told_scale(self, scale: float, count: int) -> dict[str, Tensor]:
        """The guidance scale as distilled models (LCM) take it, for so many rows; nothing for all others."""
        dim = self.pipe.unet.config.time_cond_proj_dim
        if dim is None:
            return {}
        embedded = self.pipe.get_guidance_scale_embedding(torch.full((count,), scale - 1), embedding_dim=dim)
        return {"timestep_cond": embedded.to(self.device, self.dtype)}

    @cached_property
    def image_prompts(self) -> ImagePrompts:
        """What is kept of the pictures that its UNet looks at."""
        return ImagePrompts()

    def image_prompt(self, adapter: Any, encoder: Any, pictures: Sequence[Image]) -> ImagePrompt:
        """Pictures that the UNet can look at beside the prompt; as `Model.image_prompt` says."""
        self.turns.take(self.pipe)
        return self.image_prompts.made(adapter, encoder, pictures, plain(self.denoiser), self.device, self.dtype)

    def image_layers(self, adapter: Any) -> Mapping[str, Any]:
        """What lets the UNet's layers look at pictures, by their names."""
        return self.image_prompts.adapter(adapter, plain(self.denoiser), self.device, self.dtype).layers

    def looking(self, batch: Batch) -> AbstractContextManager[None]:
        """A context in which the UNet looks at the pictures that a batch is shown."""
        rows = looking(batch, torch.empty(0, device=self.device, dtype=self.dtype))
        if rows is None:
            return nullcontext()
        return self.patched(layer_patches(plain(self.denoiser), rows, self.image_prompts.processors), BY)

    def call(self, latents: Tensor, timestep: Tensor, conditions: Mapping[str, Any]) -> Tensor:
        """The UNet's answer."""
        output: Tensor = self.pipe.unet(latents, timestep, **conditions, return_dict=False)[0]
        return output

    def residuals(
        self,
        latents: Tensor,
        timestep: Tensor,
        controls: Sequence[tuple[Control, Tensor]],
        conditions: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        """What ControlNets add to the UNet's features."""
        return residuals(latents, timestep, controls, conditions)


def _longer(embedding: Embedding, length: int, empty: Embedding) -> Embedding:
    """An embedding with chunks of an empty prompt at its end, up to a number of tokens."""
    embeds, *rest = embedding
    missing = length - embeds.shape[1]
    if missing == 0:
        return embedding
    return torch.cat([embeds, empty[0].repeat(1, missing // empty[0].shape[1], 1)], dim=1), *rest
