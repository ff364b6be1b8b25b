"""Krea 2: Qwen-Image's latents, several layers of the text encoder for each token, and guidance counted from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.in_file import InFile
from fusionkit.models.families.parts import image_ids, stacked

if TYPE_CHECKING:
    from fusionkit.models.families.base import Embedding


class Krea2(Family):
    """`Krea2Pipeline`, distilled or not; its own guidance scale is one less than that of all others.

    LoRAs: yes. ControlNets: diffusers has none.
    """

    kind, title, pipelines = "krea2", "Krea 2", ("Krea2Pipeline",)
    denoisers, autoencoders = ("Krea2Transformer2DModel",), ("AutoencoderKLQwenImage",)
    widths = {"text_hidden_dim": "text_encoder"}
    packs = True
    defaults = {"guidance-scale": 5.5, "steps": 28}
    # Measured: 13.0 at a width of 256.
    maps, parameters = 15, 17_000_000_000
    in_file = InFile(
        (("txtfusion.projector.weight", "first.weight"), ("text_fusion.projector.weight", "img_in.weight")),
        "krea/Krea-2-Raw",
        told=tuple(("num_layers", each) for each in ("blocks", "transformer_blocks")),
    )

    def defaults_of(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Eight steps of a distilled model, which is not guided."""
        return {"guidance-scale": 1.0, "steps": 8} if config.get("is_distilled") else self.defaults

    def schedule(self, config: Mapping[str, Any], scheduler: Mapping[str, Any]) -> Mapping[str, Any]:
        """One shift for all sizes of a distilled model."""
        most = {"max_image_seq_len": 6400, **scheduler}
        return {**most, "base_shift": 1.15, "max_shift": 1.15} if config.get("is_distilled") else most

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """Of Qwen's layers (1, 512, layers, D), and a mask (1, 512)."""
        embeds, mask = pipe.encode_prompt(text, device=device)
        return embeds, mask

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Text at (0, 0, 0), image tokens at (0, row, column)."""
        import torch.nn.functional as F

        text = stacked(embeddings, 0)
        return {
            "encoder_hidden_states": text,
            "encoder_attention_mask": stacked(embeddings, 1),
            "position_ids": F.pad(image_ids(asked), (0, 0, text.shape[1], 0)),
        }

    def tokenized(self, pipe: Any) -> tuple[Any, str, int]:
        """The prompt in a template, whose beginning is cut off; what fills it up comes before the template's end."""
        template = f"{pipe.prompt_template_encode_prefix}{{}}"
        return pipe.tokenizer, template, pipe.prompt_template_encode_start_idx
