"""AuraFlow: a flow in SDXL's latents, a learned place for each token, and text filled up with zeros."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.in_file import InFile
from fusionkit.models.families.parts import stacked

if TYPE_CHECKING:
    from fusionkit.models.families.base import Embedding

_REGISTERS = 8  # tokens of the denoiser's own, before those of the text


class AuraFlow(Family):
    """`AuraFlowPipeline`."""

    kind, title, pipelines = "aura-flow", "AuraFlow", ("AuraFlowPipeline",)
    denoisers = ("AuraFlowTransformer2DModel",)
    widths = {"joint_attention_dim": "text_encoder"}
    reads = {"tokenizer": 256}
    defaults = {"guidance-scale": 3.5, "steps": 50}
    # Measured: 13.0 at a width of 1,536.
    maps, text_tokens, parameters = 14, 256 + _REGISTERS, 8_000_000_000
    in_file = InFile(
        (
            ("double_layers.0.attn.w2q.weight", "cond_seq_linear.weight", "t_embedder.mlp.0.weight"),
            ("joint_transformer_blocks.0.norm1_context.linear.weight", "register_tokens"),
        ),
        "fal/AuraFlow-v0.3",
        told=(
            *(("num_mmdit_layers", each) for each in ("double_layers", "joint_transformer_blocks")),
            *(("num_single_dit_layers", each) for each in ("single_layers", "single_transformer_blocks")),
        ),
    )

    def sigmas(self, steps: int) -> None:
        """The scheduler's own, as its pipeline leaves them."""

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """T5's (1, L, D), zeros where the text has ended."""
        embeds, *_ = pipe.encode_prompt(text, do_classifier_free_guidance=False, device=device)
        return (embeds,)

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """The text; places are the denoiser's own."""
        return {"encoder_hidden_states": stacked(embeddings, 0)}

    def layers(self, config: Mapping[str, Any]) -> int:
        """Those with two streams, and those with one."""
        return int(sum(config.get(f"num_{which}_layers") or 0 for which in ("mmdit", "single_dit")))

    def most_tokens(self, config: Mapping[str, Any]) -> int:
        """The side of its table."""
        return isqrt(config.get("pos_embed_max_size") or 0)

    def window_of(self, config: Mapping[str, Any], factor: int) -> tuple[int, int]:
        """1024, as its pipeline has it: `sample_size` tells of the size that its training began with."""
        return self.window

    def places(self, tokens: int, text: int, queries: int, keys: int) -> tuple[slice, slice] | None:
        """Behind the registers."""
        found = super().places(tokens, text + _REGISTERS, queries, keys)
        return None if found is None else (found[0], slice(_REGISTERS, _REGISTERS + text))
