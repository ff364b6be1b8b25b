"""LongCat-Image: Flux.1's latents, text apart from the picture, and guidance that makes no token's velocity longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.parts import image_ids, stacked, text_ids

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding


class LongCat(Family):
    """`LongCatImagePipeline`, with the prompt as it is: it is not rewritten by the text encoder first.

    LoRAs: its pipeline loads none. ControlNets: diffusers has none.
    """

    kind, title, pipelines = "longcat", "LongCat-Image", ("LongCatImagePipeline",)
    denoisers = ("LongCatImageTransformer2DModel",)
    left_out = {"text_processor": None}
    widths = {"joint_attention_dim": "text_encoder"}
    packs = True
    defaults = {"guidance-scale": 4.5, "steps": 50}
    # Measured: 15.6 at a width of 256.
    maps, parameters = 18, 14_000_000_000

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """Qwen's (1, 512, D); what fills it up is attended to. Quoted words are read letter by letter."""
        embeds, _ = pipe.encode_prompt(text)
        return (embeds,)

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Text token n at (0, n, n), image tokens at (1, 512 + row, 512 + column)."""
        text, beyond = stacked(embeddings, 0), asked.pipe.tokenizer_max_length
        places = image_ids(asked, 1.0)
        places[:, 1:] += beyond
        return {
            "encoder_hidden_states": text,
            "txt_ids": text_ids(asked, text.shape[1]),
            "img_ids": places,
        }

    def guided(self, cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
        """At most as long as the conditional velocity, token by token."""
        size = cond.shape[-2], cond.shape[-1]
        mixed, cond = self.packed(super().guided(cond, uncond, scale)), self.packed(cond)
        longer = cond.norm(dim=-1, keepdim=True) / (mixed.norm(dim=-1, keepdim=True) + 1e-8)
        return self.unpacked(mixed * longer.clamp(0, 1), size)

    def tokenized(self, pipe: Any) -> tuple[Any, str, int]:
        """The prompt in a template, whose beginning is cut off."""
        before = pipe.prompt_template_encode_prefix
        cut = len(pipe.tokenizer(before, add_special_tokens=False).input_ids)
        return pipe.tokenizer, f"{before}{{}}{pipe.prompt_template_encode_suffix}", cut
