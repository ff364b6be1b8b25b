"""PRX: image tokens that look at a masked text and at each other, and a prompt that its pipeline mends first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.parts import stacked

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding


class Prx(Family):
    """`PRXPipeline` in Flux.1's latents; its models of DC-AE's have tokens of another size."""

    kind, title, pipelines = "prx", "PRX", ("PRXPipeline",)
    denoisers = ("PRXTransformer2DModel",)
    needs = {"ftfy": "fusionkit[prx]"}
    widths = {"context_in_dim": "text_encoder"}
    reads = {"tokenizer": 256}
    window = (512, 512)
    defaults = {"guidance-scale": 4.0, "steps": 28}
    text_tokens, parameters = 256, 4_000_000_000

    def layers(self, config: Mapping[str, Any]) -> int:
        """Every one of its blocks."""
        return int(config.get("depth") or 0)

    def sigmas(self, steps: int) -> None:
        """The scheduler's own, which end before 0."""

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """T5Gemma's (1, L, D) of the mended prompt, and the mask (1, L); all texts are of one length."""
        embeds, mask, _, _ = pipe.encode_prompt(text, device, do_classifier_free_guidance=False)
        return embeds, mask

    def mended(self, pipe: Any, text: str) -> str:
        """In small letters, with its encoding put right, and without marks, addresses and the names of files."""
        cleaned: str = pipe.text_preprocessor.clean_text(text)
        return cleaned

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Text and mask; places are the denoiser's own."""
        return {"encoder_hidden_states": stacked(embeddings, 0), "attention_mask": stacked(embeddings, 1)}

    def time(self, timestep: Tensor, dtype: Any) -> Tensor:
        """From 0 to 1, not rounded."""
        return timestep.float() / 1000

    def places(self, tokens: int, text: int, queries: int, keys: int) -> tuple[slice, slice] | None:
        """Only image tokens ask; the text comes first among what they look at."""
        return (slice(None), slice(0, text)) if (queries, keys) == (tokens, text + tokens) else None
