"""Ovis-Image: Flux.1's latents, one text encoder, and text along the diagonal of the picture's places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.parts import image_ids, stacked, text_ids

if TYPE_CHECKING:
    from fusionkit.models.families.base import Embedding


class Ovis(Family):
    """`OvisImagePipeline`. LoRAs: its pipeline loads none. ControlNets: diffusers has none."""

    kind, title, pipelines = "ovis", "Ovis-Image", ("OvisImagePipeline",)
    denoisers = ("OvisImageTransformer2DModel",)
    widths = {"joint_attention_dim": "text_encoder"}
    reads = {"tokenizer": 256}
    packs = True
    defaults = {"guidance-scale": 5.0, "steps": 50}
    # Measured: 23.7 at a width of 256.
    maps, text_tokens, parameters = 26, 256, 9_000_000_000

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """Qwen's (1, 256, D) of the prompt in a chat; what fills it up is zero, and is attended to."""
        embeds = pipe.encode_prompt(text, do_classifier_free_guidance=False, device=device)[0]
        return (embeds,)

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Text token n at (0, n, n), image tokens at (0, row, column)."""
        text = stacked(embeddings, 0)
        return {
            "encoder_hidden_states": text,
            "txt_ids": text_ids(asked, text.shape[1]).to(asked.like),
            "img_ids": image_ids(asked).to(asked.like),
        }

    def tokenized(self, pipe: Any) -> tuple[Any, str, int]:
        """The chat, whose beginning is cut off."""
        return pipe.tokenizer, pipe._get_messages("{}")[0], pipe.user_prompt_begin_id
