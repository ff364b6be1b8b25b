"""Stable Diffusion 3 and 3.5: unpacked latents, a learned place for each token, three text encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.parts import stacked

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding


class Sd3(Family):
    """`StableDiffusion3Pipeline`, with and without T5."""

    kind, title, pipelines = "sd3", "Stable Diffusion 3", ("StableDiffusion3Pipeline",)
    denoisers = ("SD3Transformer2DModel",)
    encoders = ("text_encoder", "text_encoder_2", "text_encoder_3")
    # Where T5 is not there, zeros stand for it.
    optional = frozenset({"text_encoder_3", "tokenizer_3"})
    left_out = {"image_encoder": None, "feature_extractor": None}
    widths = {"joint_attention_dim": "text_encoder_3"}
    reads = {"tokenizer_3": 256}
    defaults = {"guidance-scale": 7.0, "steps": 28}
    text_first, text_tokens, parameters = False, 333, 8_000_000_000

    def sigmas(self, steps: int) -> None:
        """The scheduler's own: its first and last levels are shifted twice, as in diffusers."""

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """CLIP's tokens and T5's one after the other, (1, L, D), and CLIP's pooled forms, (1, E)."""
        embeds, _, pooled, _ = pipe.encode_prompt(text, None, None, device, do_classifier_free_guidance=False)
        return embeds, pooled

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Both forms of the prompt."""
        return {"encoder_hidden_states": stacked(embeddings, 0), "pooled_projections": stacked(embeddings, 1)}

    def time(self, timestep: Tensor, dtype: Any) -> Tensor:
        """As it is."""
        return timestep
