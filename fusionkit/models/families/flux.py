"""Flux.1: packed latents, places as ids of each token, the guidance scale as an input (dev) or none (schnell)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family, Steered
from fusionkit.models.families.in_file import CLIP_L, T5, VAE, InFile, Shapes
from fusionkit.models.families.parts import at_each_layer, image_ids, scales, stacked

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding

# Of the models that take the guidance scale, its first layer.
_SCALE = ("guidance_in.in_layer.weight", "time_text_embed.guidance_embedder.linear_1.weight")

# Channels of its autoencoder's latents, and pixels of one latent pixel.
_LATENTS, _MASK = 16, 8 * 8


class Flux(Family):
    """`FluxPipeline`; a negative prompt counts where the guidance scale is no input (its `true_cfg_scale`).

    Of models that fill in masked parts it is `FluxFillPipeline`.
    """

    kind, title, pipelines = "flux", "Flux.1", ("FluxPipeline", "FluxFillPipeline")
    denoisers, controlnets = ("FluxTransformer2DModel",), ("FluxControlNetModel",)
    encoders = ("text_encoder", "text_encoder_2")
    left_out = {"image_encoder": None, "feature_extractor": None}
    widths = {"joint_attention_dim": "text_encoder_2", "pooled_projection_dim": "text_encoder"}
    reads = {"tokenizer_2": 512}
    packs = True
    defaults = {"guidance-scale": 3.5, "steps": 28}
    parameters = 17_000_000_000
    in_file = InFile(
        (
            ("double_blocks.0.img_attn.norm.key_norm.scale", "vector_in.in_layer.weight", "txt_in.weight"),
            ("single_transformer_blocks.0.proj_mlp.weight", "time_text_embed.text_embedder.linear_1.weight"),
        ),
        "black-forest-labs/FLUX.1-schnell",
        {"vae": VAE, "text_encoder": CLIP_L, "text_encoder_2": T5},
        (
            *(("num_layers", each) for each in ("double_blocks", "transformer_blocks")),
            *(("num_single_layers", each) for each in ("single_blocks", "single_transformer_blocks")),
            *(("in_channels", (each, 1)) for each in ("img_in.weight", "x_embedder.weight")),
            ("guidance_embeds", _SCALE),
        ),
    )

    def base_of(self, denoiser: Shapes) -> str:
        """Dev where the guidance scale is an input, else schnell; Fill by its channels."""
        assert self.in_file is not None
        if self.fills(self.in_file.config(denoiser), _LATENTS):
            return "black-forest-labs/FLUX.1-Fill-dev"
        return "black-forest-labs/FLUX.1-dev" if any(each in denoiser for each in _SCALE) else super().base_of(denoiser)

    def loader(self, named: str) -> str:
        """The plainest, which has the same parts."""
        return self.pipelines[0]

    def defaults_of(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Those of `FluxFillPipeline` for a model that fills in."""
        return {"guidance-scale": 30.0, "steps": 50} if self.fills(config, _LATENTS) else self.defaults

    def fills(self, config: Mapping[str, Any], channels: int) -> bool:
        """By its channels: latents, a picture's latents, and a mask by the pixels of each latent pixel."""
        return config.get("in_channels") == self.patch**2 * (channels + channels + _MASK)

    def beside(self, mask: Tensor, picture: Tensor) -> Tensor:
        """The picture, and the mask with the pixels of a latent pixel as channels, row by row."""
        import torch
        import torch.nn.functional as F

        return torch.cat([picture, F.pixel_unshuffle(mask, mask.shape[-1] // picture.shape[-1])], dim=1)

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """T5's (1, L, D), without a mask, and CLIP's (1, E)."""
        length = min(self.reads["tokenizer_2"], pipe.tokenizer_2.model_max_length)
        embeds, pooled, _ = pipe.encode_prompt(text, None, device=device, max_sequence_length=length)
        return embeds, pooled

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Text at (0, 0, 0), image tokens at (0, row, column)."""
        text = stacked(embeddings, 0)
        return {
            "encoder_hidden_states": text,
            "pooled_projections": stacked(embeddings, 1),
            "txt_ids": asked.like.new_zeros(text.shape[1], 3),
            "img_ids": image_ids(asked).to(asked.like),
            "guidance": scales(asked) if self.takes_scale(asked.pipe.transformer.config) else None,
        }

    def controlnet_problems(self, config: Mapping[str, Any]) -> Iterator[str]:
        """Unions, which are told a kind of hint by number, and those that take pixels."""
        if config.get("num_mode") is not None:
            yield "is a union of several, chosen by a number that fusionkit does not tell; use one for one kind of hint"
        if config.get("conditioning_embedding_channels") is not None:
            yield "takes a hint in pixels, where fusionkit gives latents; use another"

    def residuals(
        self, asked: Asked, steered: Steered, latents: Tensor, timestep: Tensor, conditions: Mapping[str, Any]
    ) -> dict[str, Any]:
        """From the rows that have the prompt, as in diffusers; the others get the same."""
        net, rows = steered.net, slice(0, steered.rows)
        blocks, singles = net(
            hidden_states=self.packed(latents[rows]),
            controlnet_cond=self.packed(steered.hints[rows]),
            conditioning_scale=steered.scale,
            encoder_hidden_states=conditions["encoder_hidden_states"][rows],
            pooled_projections=conditions["pooled_projections"][rows],
            timestep=self.time(timestep[rows], latents.dtype),
            img_ids=conditions["img_ids"],
            txt_ids=conditions["txt_ids"],
            guidance=scales(asked)[rows] if net.config.guidance_embeds else None,
            return_dict=False,
        )
        config, count = asked.pipe.transformer.config, len(latents)
        return {
            "controlnet_block_samples": at_each_layer(blocks, config.num_layers, count),
            "controlnet_single_block_samples": at_each_layer(singles, config.num_single_layers, count),
        }

    def tokenized(self, pipe: Any) -> tuple[Any, str, int]:
        """Of T5; CLIP's words are seen only as one vector."""
        return pipe.tokenizer_2, "{}", 0
