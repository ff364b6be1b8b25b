"""PixArt-alpha and -sigma: cross-attention, noise in place of a velocity, and the latents of SD or of SDXL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.parts import in_small_letters, stacked

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding


class PixArtSigma(Family):
    """`PixArtSigmaPipeline`; prompts as without its `clean_caption`: in small letters."""

    kind, title, pipelines = "pixart-sigma", "PixArt-sigma", ("PixArtSigmaPipeline",)
    denoisers = ("PixArtTransformer2DModel", "Transformer2DModel")
    widths = {"caption_channels": "text_encoder"}
    prediction, half, text_first = "epsilon", "float16", None
    reads = {"tokenizer": 300}
    defaults = {"guidance-scale": 4.5, "steps": 20}
    # Measured: 9.5 at a width of 1,536.
    maps, text_tokens, parameters = 10, 300, 5_400_000_000

    def sigmas(self, steps: int) -> None:
        """It is no flow."""

    def heard(self, prompt: str) -> str:
        """In small letters."""
        return in_small_letters(prompt)

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """T5's (1, L, D) and the mask (1, L)."""
        embeds, mask, _, _ = pipe.encode_prompt(text, False, device=device)
        return embeds, mask

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Text, mask and, for those that were trained with it, the size that the view has."""
        height, width = (side * self.patch * asked.stage.factor for side in asked.size)
        told = asked.pipe.transformer.use_additional_conditions
        rows = len(embeddings), 1
        return {
            "encoder_hidden_states": stacked(embeddings, 0),
            "encoder_attention_mask": stacked(embeddings, 1),
            "added_cond_kwargs": {
                "resolution": asked.like.new_tensor([[height, width]]).repeat(rows) if told else None,
                "aspect_ratio": asked.like.new_tensor([[height / width]]).repeat(rows) if told else None,
            },
        }

    def time(self, timestep: Tensor, dtype: Any) -> Tensor:
        """As it is."""
        return timestep

    def call(self, denoiser: Any, latents: Tensor, timestep: Tensor, conditions: dict[str, Any]) -> Tensor:
        """The noise; the learned variance is left out."""
        return super().call(denoiser, latents, timestep, conditions)[:, : latents.shape[1]]


class PixArtAlpha(PixArtSigma):
    """`PixArtAlphaPipeline`, in the latents of Stable Diffusion 1."""

    kind, title, pipelines = "pixart-alpha", "PixArt-alpha", ("PixArtAlphaPipeline",)
    reads, text_tokens = {"tokenizer": 120}, 120
