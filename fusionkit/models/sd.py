"""Stable Diffusion 1 and 2: the prompt's embedding is all that a view is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionkit.models.diffusers_model import DiffusersModel, Embedding
from fusionkit.stage import Stage
from fusionkit.views import View

if TYPE_CHECKING:
    from PIL.Image import Image


class StableDiffusion(DiffusersModel):
    """A `StableDiffusionPipeline`, or one with the same parts."""

    def encode_prompt(self, text: str, clip_skip: int | None) -> Embedding:
        """The prompt's embedding, (1, L, D)."""
        if clip_skip is None or hasattr(self.pipe.text_encoder, "text_model"):
            embeds, _ = self.pipe.encode_prompt(text, self.device, 1, False, clip_skip=clip_skip)
        else:
            # transformers 5 moved the final layer norm, and diffusers does not find it to skip layers.
            embeds = self._skipped(text, clip_skip)
        return (embeds.to(self.device, self.dtype),)

    def postprocess(self, image: Tensor) -> Image:
        """The picture; black where the pipeline has a safety checker and that objects."""
        image, flagged = self.pipe.run_safety_checker(image, self.device, self.dtype)
        clean = None if flagged is None else [not each for each in flagged]
        picture: Image = self.pipe.image_processor.postprocess(image, output_type="pil", do_denormalize=clean)[0]
        return picture

    def _skipped(self, text: str, clip_skip: int) -> Tensor:
        tokenizer, encoder = self.pipe.tokenizer, self.pipe.text_encoder
        text = self.pipe.maybe_convert_prompt(text, tokenizer)
        tokens = tokenizer(
            text, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
        )
        output = encoder(tokens.input_ids.to(self.device), output_hidden_states=True)
        embeds: Tensor = encoder.final_layer_norm(output.hidden_states[-(clip_skip + 1)])
        return embeds

    def conditions(self, stage: Stage, views: Sequence[View], embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """The prompts' embeddings, (P, L, D)."""
        return {"encoder_hidden_states": torch.cat([embeds for (embeds,) in embeddings])}
