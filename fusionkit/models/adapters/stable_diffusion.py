"""Stable Diffusion 1 and 2: the prompt's embedding is all that a view is told."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionkit.loop.stage import Stage
from fusionkit.loop.views import View
from fusionkit.models.adapters.batches import Embedding
from fusionkit.models.adapters.unet_model import UNetModel
from fusionkit.models.prompts.encoding import final_norm
from fusionkit.recipe.prompt_syntax import parse

if TYPE_CHECKING:
    from PIL.Image import Image


class StableDiffusion(UNetModel):
    """A `StableDiffusionPipeline`, or one with the same parts."""

    def encode_prompt(self, text: str, clip_skip: int | None) -> Embedding:
        """The prompt's embedding, (1, L, D)."""
        plain = self.as_one_chunk(text)
        if plain is not None and (clip_skip is None or hasattr(self.pipe.text_encoder, "text_model")):
            embeds, _ = self.pipe.encode_prompt(plain, self.device, 1, False, clip_skip=clip_skip)
        else:
            # Also where layers are skipped: transformers 5 moved the final layer norm, and diffusers does not find it.
            (reader,) = self.readers
            embeds, _ = reader.embeddings(reader.chunks(parse(text)), partial(_encode, clip_skip), self.device)
        return (embeds.to(self.device, self.dtype),)

    @property
    def looks_at_pictures(self) -> bool:
        """Whether the pipeline has a safety checker, which takes the picture as a whole."""
        return self.pipe.safety_checker is not None

    def postprocess(self, image: Tensor) -> Image:
        """The picture; black where the pipeline has a safety checker and that objects."""
        image, flagged = self.pipe.run_safety_checker(image, self.device, self.dtype)
        clean = None if flagged is None else [not each for each in flagged]
        picture: Image = self.pipe.image_processor.postprocess(image, output_type="pil", do_denormalize=clean)[0]
        return picture

    def conditions(
        self, stage: Stage, views: Sequence[View], embeddings: Sequence[Embedding], scale: float
    ) -> dict[str, Any]:
        """The prompts' embeddings, (P, L, D)."""
        text = torch.cat([embeds for (embeds,) in embeddings])
        return {"encoder_hidden_states": text, **self.told_scale(scale, len(text))}


def _encode(clip_skip: int | None, encoder: Any, ids: Tensor, mask: Tensor | None) -> tuple[Tensor, None]:
    """As the pipeline does it."""
    if clip_skip is None:
        return encoder(ids, attention_mask=mask)[0], None
    output = encoder(ids, attention_mask=mask, output_hidden_states=True)
    return final_norm(encoder)(output.hidden_states[-(clip_skip + 1)]), None
