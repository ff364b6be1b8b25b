"""HunyuanDiT: two texts at once, SDXL's conditions of size and crop, and places that span a view of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family, Steered
from fusionkit.models.families.parts import corners, stacked

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding


class HunyuanDiT(Family):
    """`HunyuanDiTPipeline`, 1.1 and 1.2; 1.1 is told where in the picture a view lies.

    Its latents are Stable Diffusion XL's. LoRAs: its pipeline loads none.
    """

    kind, title, pipelines = "hunyuandit", "HunyuanDiT", ("HunyuanDiTPipeline",)
    denoisers, controlnets = ("HunyuanDiT2DModel",), ("HunyuanDiT2DControlNetModel",)
    encoders = ("text_encoder", "text_encoder_2")
    left_out = {"safety_checker": None, "requires_safety_checker": False, "feature_extractor": None}
    widths = {"cross_attention_dim": "text_encoder", "cross_attention_dim_t5": "text_encoder_2"}
    reads = {"tokenizer_2": 256}
    prediction, half, text_first, crops = "v_prediction", "float16", None, True
    defaults = {"guidance-scale": 5.0, "steps": 50}
    # Measured: 12.9 at a width of 256.
    maps, text_tokens, parameters = 15, 333, 3_600_000_000

    def told_size(self, config: Mapping[str, Any]) -> bool:
        """1.2 is told none."""
        return bool(config.get("use_style_cond_and_image_meta_size", True))

    def sigmas(self, steps: int) -> None:
        """It is no flow."""

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """BERT's (1, 77, D) and its mask, T5's (1, 256, E) and its mask."""
        options = {"device": device, "do_classifier_free_guidance": False}
        first, _, mask, _ = pipe.encode_prompt(text, **options, text_encoder_index=0, max_sequence_length=77)
        second, _, other, _ = pipe.encode_prompt(text, **options, text_encoder_index=1, max_sequence_length=256)
        return first, mask, second, other

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Both texts, the view as a crop of the whole picture, and places that span the view."""
        import torch
        from diffusers.models.embeddings import get_2d_rotary_pos_embed
        from diffusers.pipelines.hunyuandit import pipeline_hunyuandit

        net, (width, height) = asked.pipe.transformer, asked.stage.told
        cut: Any = pipeline_hunyuandit.get_resize_crop_region_for_grid
        region = cut(asked.size, 512 // 8 // net.config.patch_size)
        each = net.inner_dim // net.num_heads
        told = [[*self.window, height, width, *corner] for corner in corners(asked)]
        return {
            "encoder_hidden_states": stacked(embeddings, 0),
            "text_embedding_mask": stacked(embeddings, 1),
            "encoder_hidden_states_t5": stacked(embeddings, 2),
            "text_embedding_mask_t5": stacked(embeddings, 3),
            "image_meta_size": asked.like.new_tensor(told),
            "style": torch.zeros(len(told), dtype=torch.int64, device=asked.like.device),
            "image_rotary_emb": get_2d_rotary_pos_embed(
                each, region, asked.size, device=asked.like.device, output_type="pt"
            ),
        }

    def time(self, timestep: Tensor, dtype: Any) -> Tensor:
        """As it is."""
        return timestep.to(dtype)

    def call(self, denoiser: Any, latents: Tensor, timestep: Tensor, conditions: dict[str, Any]) -> Tensor:
        """Without the variance that the denoiser answers as well."""
        answer: Tensor = denoiser(latents, self.time(timestep, latents.dtype), **conditions, return_dict=False)[0]
        return answer[:, : latents.shape[1]]

    def residuals(
        self, asked: Asked, steered: Steered, latents: Tensor, timestep: Tensor, conditions: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Of all rows; a ControlNet is told all that the denoiser is."""
        time = self.time(timestep, latents.dtype)
        shown = {"controlnet_cond": steered.hints, "conditioning_scale": steered.scale}
        samples = steered.net(hidden_states=latents, timestep=time, **shown, **conditions, return_dict=False)[0]
        return {"controlnet_block_samples": samples}

    def places(self, tokens: int, text: int, queries: int, keys: int) -> tuple[slice, slice] | None:
        """BERT's tokens are the first of the keys; T5's follow."""
        return (slice(0, tokens), slice(0, text)) if queries == tokens and keys == text + 256 else None
