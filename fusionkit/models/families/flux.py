"""Flux.1: packed latents, places as ids of each token, the guidance scale as an input (dev) or none (schnell)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.parts import image_ids, scales, stacked

if TYPE_CHECKING:
    from fusionkit.models.families.base import Embedding


class Flux(Family):
    """`FluxPipeline`; a negative prompt counts where the guidance scale is no input (its `true_cfg_scale`)."""

    kind, title, pipelines = "flux", "Flux.1", ("FluxPipeline",)
    denoisers = ("FluxTransformer2DModel",)
    encoders = ("text_encoder", "text_encoder_2")
    left_out = {"image_encoder": None, "feature_extractor": None}
    widths = {"joint_attention_dim": "text_encoder_2", "pooled_projection_dim": "text_encoder"}
    reads = {"tokenizer_2": 512}
    packs = True
    defaults = {"guidance-scale": 3.5, "steps": 28}
    parameters = 17_000_000_000

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """T5's (1, L, D), without a mask, and CLIP's (1, E)."""
        embeds, pooled, _ = pipe.encode_prompt(text, None, device=device)
        return embeds, pooled

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Text at (0, 0, 0), image tokens at (0, row, column)."""
        text = stacked(embeddings, 0)
        return {
            "encoder_hidden_states": text,
            "pooled_projections": stacked(embeddings, 1),
            "txt_ids": asked.like.new_zeros(text.shape[1], 3),
            "img_ids": image_ids(asked).to(asked.like),
            "guidance": scales(asked) if self.takes_scale(asked.pipe.transformer.config) else None,
        }

    def tokenized(self, pipe: Any) -> tuple[Any, str, int]:
        """Of T5; CLIP's words are seen only as one vector."""
        return pipe.tokenizer_2, "{}", 0
