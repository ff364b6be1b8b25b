"""Bria 3.2: Flux's packed latents and places, one text encoder, and guidance by a negative prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.parts import image_ids, stacked

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding


class Bria(Family):
    """`BriaPipeline`."""

    kind, title, pipelines = "bria", "Bria 3.2", ("BriaPipeline",)
    # What a folder holds: told before any weights load.
    denoisers = ("BriaTransformer2DModel",)
    widths = {"joint_attention_dim": "text_encoder"}
    reads = {"tokenizer": 128}
    parameters = 8_700_000_000
    # Its denoiser takes tokens of 2 x 2 latent pixels.
    packs = True
    # What suits it where a recipe is silent.
    defaults = {"guidance-scale": 5.0, "steps": 30}

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """T5's (1, L, D), all texts filled up to one length."""
        embeds, _, _ = pipe.encode_prompt(text, device, do_classifier_free_guidance=False)
        return (embeds,)

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Text at (0, 0, 0), image tokens at (0, row, column)."""
        text = stacked(embeddings, 0)
        return {
            "encoder_hidden_states": text,
            "txt_ids": asked.like.new_zeros(text.shape[1], 3),
            "img_ids": image_ids(asked).to(asked.like),
        }

    def time(self, timestep: Tensor, dtype: Any) -> Tensor:
        """As the scheduler has it, 0 to 1000."""
        return timestep
