"""Stable Diffusion XL: a view is told the prompt, in two forms, and where in the picture it lies."""

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
from fusionkit.models.prompts.encoding import equal_lengths
from fusionkit.recipe.prompt_syntax import parse

if TYPE_CHECKING:
    from PIL.Image import Image


class StableDiffusionXL(UNetModel):
    """A `StableDiffusionXLPipeline`, or one with the same parts."""

    def encode_prompt(self, text: str, clip_skip: int | None) -> Embedding:
        """The prompt's embedding, (1, L, D), and its pooled form, (1, E)."""
        plain = self.as_one_chunk(text)
        if plain is not None:
            embeds, _, pooled, _ = self.pipe.encode_prompt(
                plain,
                device=self.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
                clip_skip=clip_skip,
            )
        else:
            chunks = equal_lengths([reader.chunks(parse(text)) for reader in self.readers])
            encode = partial(_encode, clip_skip)
            parts = [
                reader.embeddings(own, encode, self.device) for reader, own in zip(self.readers, chunks, strict=True)
            ]
            embeds, pooled = torch.cat([each for each, _ in parts], dim=-1), parts[-1][1]
            assert pooled is not None, "SDXL's second text encoder has a pooled answer"
        return embeds.to(self.device, self.dtype), pooled.to(self.device, self.dtype)

    def embed_negative(self, text: str) -> Embedding:
        """A negative prompt's embedding; zeros for an empty one where the pipeline says so."""
        if text == "" and self.pipe.config.get("force_zeros_for_empty_prompt"):
            # Of any prompt that is known already: only the shapes count.
            embeds, *pooled = next(iter(self._embeddings.values()), None) or self.embed("")
            return torch.zeros_like(embeds[:, : self.chunk_length]), *(torch.zeros_like(part) for part in pooled)
        return super().embed_negative(text)

    def conditions(
        self, stage: Stage, views: Sequence[View], embeddings: Sequence[Embedding], scale: float
    ) -> dict[str, Any]:
        """Embeddings (P, L, D), pooled ones (P, E), and `time_ids` (P, 6), in pixels.

        `time_ids` are the picture's height and width, the view's top and left, and the height and width again: a view
        counts as a crop of the whole picture (arXiv 2307.01952, section 2.2), which is of the recipe's size, or of the
        one that the stage's plan tells. A dilated view is the whole picture, seen coarsely, and begins at 0. A view of
        a ring begins on the canvas, wherever it ends.
        """
        width, height = stage.told
        ids = [[height, width, *corner, height, width] for corner in stage.told_corners(views)]
        return {
            "encoder_hidden_states": torch.cat([embeds for embeds, _ in embeddings]),
            "added_cond_kwargs": {
                "text_embeds": torch.cat([pooled for _, pooled in embeddings]),
                "time_ids": torch.tensor(ids, device=self.device, dtype=self.dtype),
            },
            **self.told_scale(scale, len(ids)),
        }

    @property
    def looks_at_pictures(self) -> bool:
        """Whether the pipeline has an invisible watermark, which takes the picture as a whole."""
        return self.pipe.watermark is not None

    def postprocess(self, image: Tensor) -> Image:
        """The picture, with the pipeline's invisible watermark where it has one."""
        if self.pipe.watermark is not None:
            image = self.pipe.watermark.apply_watermark(image)
        picture: Image = self.pipe.image_processor.postprocess(image, output_type="pil")[0]
        return picture


def _encode(clip_skip: int | None, encoder: Any, ids: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """As the pipeline does it: the layer before the last, and what the second encoder makes of the whole."""
    output = encoder(ids, output_hidden_states=True)
    pooled = output[0] if output[0].ndim == 2 else None
    return output.hidden_states[-2 if clip_skip is None else -(clip_skip + 2)], pooled
