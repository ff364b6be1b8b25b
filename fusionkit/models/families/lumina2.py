"""Lumina-Image 2: time from 0 (noise) to 1, a velocity of the other sign, and guidance that keeps the norm of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.in_file import InFile
from fusionkit.models.families.parts import stacked

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding


class Lumina2(Family):
    """`Lumina2Pipeline`; its guidance is on at all steps, as the pipeline's `cfg_trunc_ratio` of 1 has it."""

    readable = False  # its image begins at another place in each row
    kind, title, pipelines = "lumina2", "Lumina-Image 2", ("Lumina2Pipeline",)
    denoisers = ("Lumina2Transformer2DModel",)
    widths = {"cap_feat_dim": "text_encoder"}
    one_length = True
    reads = {"tokenizer": 256}
    defaults = {"guidance-scale": 4.0, "steps": 30}
    # Measured: 17.5 at a width of 1,536.
    maps, text_tokens, parameters = 18, 256, 5_300_000_000
    in_file = InFile(
        (
            ("cap_embedder.0.weight", "layers.0.adaLN_modulation.1.weight"),
            ("time_caption_embed.caption_embedder.0.weight", "layers.0.norm1.linear.weight"),
        ),
        "Alpha-VLLM/Lumina-Image-2.0",
        told=(("num_layers", "layers"),),
    )

    def most_tokens(self, config: Mapping[str, Any]) -> int:
        """Of its shorter axis."""
        return min((config.get("axes_lens") or [0])[1:], default=0)

    def shift(self, config: Mapping[str, Any], tokens: int, steps: int) -> float | None:
        """As its pipeline has it, which counts the latents' 16 channels in place of tokens."""
        return super().shift(config, 16, steps)

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """Gemma's (1, L, D) and the mask (1, L), as long as the prompt: image tokens follow its end in each row."""
        embeds, mask, _, _ = pipe.encode_prompt(text, False, device=device)
        return _without_filling(embeds, mask)

    def encode_negative(self, pipe: Any, text: str, device: Any) -> Embedding:
        """Without the words that its pipeline puts before a prompt."""
        return _without_filling(*pipe._get_gemma_prompt_embeds(text, device=device))

    def tokenized(self, pipe: Any) -> tuple[Any, str, int]:
        """Behind what its pipeline puts before a prompt."""
        return pipe.tokenizer, f"{pipe.system_prompt} <Prompt Start> {{}}", 0

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Text and mask; places are the denoiser's own."""
        return {"encoder_hidden_states": stacked(embeddings, 0), "encoder_attention_mask": stacked(embeddings, 1)}

    def time(self, timestep: Tensor, dtype: Any) -> Tensor:
        """1 - t / 1000, not rounded."""
        return 1 - timestep / 1000

    def call(self, denoiser: Any, latents: Tensor, timestep: Tensor, conditions: dict[str, Any]) -> Tensor:
        """Its velocity points from the noise to the picture."""
        return -super().call(denoiser, latents, timestep, conditions)

    def guided(self, cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
        """As long as the conditional velocity, row by row of the latents."""
        mixed = super().guided(cond, uncond, scale)
        kept: Tensor = mixed * (cond.norm(dim=-1, keepdim=True) / mixed.norm(dim=-1, keepdim=True))
        return kept


def _without_filling(embeds: Tensor, mask: Tensor) -> Embedding:
    length = max(1, int(mask.sum()))
    return embeds[:, :length], mask[:, :length]
