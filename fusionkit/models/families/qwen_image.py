"""Qwen-Image: packed latents, places from the view's size, prompts of any length, guidance that keeps the norm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family, Steered
from fusionkit.models.families.in_file import InFile
from fusionkit.models.families.parts import at_each_layer, filled, scales, stacked

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding


class QwenImage(Family):
    """`QwenImagePipeline`; its `true_cfg_scale` is the guidance scale here."""

    kind, title, pipelines = "qwen-image", "Qwen-Image", ("QwenImagePipeline",)
    denoisers, autoencoders = ("QwenImageTransformer2DModel",), ("AutoencoderKLQwenImage",)
    controlnets = ("QwenImageControlNetModel",)
    widths = {"joint_attention_dim": "text_encoder"}
    packs = True
    window = (1328, 1328)
    # With no negative prompt at all its pipeline does not guide; a space is what its makers recommend.
    defaults = {"guidance-scale": 4.0, "steps": 50, "negative-prompt": " "}
    text_tokens, parameters = 128, 28_900_000_000
    in_file = InFile(
        (("txt_norm.weight", "transformer_blocks.0.img_mod.1.weight"),),
        "Qwen/Qwen-Image",
        told=(("num_layers", "transformer_blocks"), ("in_channels", ("img_in.weight", 1))),
    )

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """(1, L, D) and the mask (1, L), as long as the prompt."""
        embeds, mask = pipe.encode_prompt(text, device=device, max_sequence_length=512)
        return embeds, embeds.new_ones(embeds.shape[:2]).bool() if mask is None else mask.bool()

    def aligned(self, embeddings: Sequence[Embedding]) -> Sequence[Embedding]:
        """As long as the longest of the group."""
        return filled(embeddings)

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """The text, its mask where a row is filled up, and the views' size."""
        mask = stacked(embeddings, 1)
        return {
            "encoder_hidden_states": stacked(embeddings, 0),
            "encoder_hidden_states_mask": None if bool(mask.all()) else mask,
            "img_shapes": [[(1, *asked.size)]] * len(embeddings),
            "guidance": scales(asked) if self.takes_scale(asked.pipe.transformer.config) else None,
        }

    def guided(self, cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
        """As long as the conditional velocity, token by token."""
        mixed, size = super().guided(cond, uncond, scale), (cond.shape[-2], cond.shape[-1])
        kept = self.packed(cond).norm(dim=-1, keepdim=True) / self.packed(mixed).norm(dim=-1, keepdim=True)
        return self.unpacked(self.packed(mixed) * kept, size)

    def controlnet_problems(self, config: Mapping[str, Any]) -> Iterator[str]:
        """Those that are shown a mask as well."""
        if config.get("extra_condition_channels"):
            yield "takes more than a prompt and a hint (extra_condition_channels); use another"

    def residuals(
        self, asked: Asked, steered: Steered, latents: Tensor, timestep: Tensor, conditions: Mapping[str, Any]
    ) -> dict[str, Any]:
        """From the rows that have the prompt, as in diffusers; the others get the same."""
        rows, mask = slice(0, steered.rows), conditions["encoder_hidden_states_mask"]
        samples = steered.net(
            hidden_states=self.packed(latents[rows]),
            controlnet_cond=self.packed(steered.hints[rows]),
            conditioning_scale=steered.scale,
            encoder_hidden_states=conditions["encoder_hidden_states"][rows],
            encoder_hidden_states_mask=None if mask is None else mask[rows],
            timestep=self.time(timestep[rows], latents.dtype),
            img_shapes=conditions["img_shapes"][rows],
            return_dict=False,
        )
        depth = asked.pipe.transformer.config.num_layers
        return {"controlnet_block_samples": at_each_layer(samples, depth, len(latents))}

    def tokenized(self, pipe: Any) -> tuple[Any, str, int]:
        """The prompt in its template, the system's part cut off."""
        return pipe.tokenizer, pipe.prompt_template_encode, pipe.prompt_template_encode_start_idx
