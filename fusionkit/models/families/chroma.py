"""Chroma: Flux.1's latents and places, a mask over the text, and guidance by a negative prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.in_file import T5, VAE, InFile
from fusionkit.models.families.parts import image_ids, stacked

if TYPE_CHECKING:
    from fusionkit.models.families.base import Embedding


class Chroma(Family):
    """`ChromaPipeline`."""

    kind, title, pipelines = "chroma", "Chroma", ("ChromaPipeline",)
    denoisers = ("ChromaTransformer2DModel",)
    left_out = {"image_encoder": None, "feature_extractor": None}
    widths = {"joint_attention_dim": "text_encoder"}
    packs = True
    defaults = {"guidance-scale": 5.0, "steps": 35}
    # Measured: 16.6 and 15.5 at widths of 768 and 1,536, masks with them.
    maps, parameters = 18, 13_700_000_000
    in_file = InFile(
        (
            ("distilled_guidance_layer.in_proj.bias", "double_blocks.0.img_attn.norm.key_norm.scale"),
            ("distilled_guidance_layer.in_proj.bias", "single_transformer_blocks.0.proj_mlp.weight"),
        ),
        "lodestones/Chroma1-HD",
        {"vae": VAE, "text_encoder": T5},
        (
            *(("num_layers", each) for each in ("double_blocks", "transformer_blocks")),
            *(("num_single_layers", each) for each in ("single_blocks", "single_transformer_blocks")),
            *(("in_channels", (each, 1)) for each in ("img_in.weight", "x_embedder.weight")),
        ),
    )

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """T5's (1, L, D) and its mask (1, L), in which one place of filling is left."""
        embeds, _, mask, *_ = pipe.encode_prompt(text, device=device, do_classifier_free_guidance=False)
        return embeds, mask

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Text at (0, 0, 0), image tokens at (0, row, column), and a mask over both."""
        import torch

        text, mask = stacked(embeddings, 0), stacked(embeddings, 1)
        seen = mask.new_ones(len(mask), asked.size[0] * asked.size[1])
        return {
            "encoder_hidden_states": text,
            "attention_mask": torch.cat([mask, seen], 1),
            "txt_ids": asked.like.new_zeros(text.shape[1], 3),
            "img_ids": image_ids(asked).to(asked.like),
        }
