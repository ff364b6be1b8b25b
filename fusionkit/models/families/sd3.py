"""Stable Diffusion 3 and 3.5: unpacked latents, a learned place for each token, three text encoders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family, Steered
from fusionkit.models.families.in_file import CLIP_G, CLIP_L, T5, VAE, InFile, Shapes
from fusionkit.models.families.parts import stacked

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding


class Sd3(Family):
    """`StableDiffusion3Pipeline`, with and without T5."""

    kind, title, pipelines = "sd3", "Stable Diffusion 3", ("StableDiffusion3Pipeline",)
    denoisers, controlnets = ("SD3Transformer2DModel",), ("SD3ControlNetModel",)
    encoders = ("text_encoder", "text_encoder_2", "text_encoder_3")
    # Where T5 is not there, zeros stand for it.
    optional = frozenset({"text_encoder_3", "tokenizer_3"})
    left_out = {"image_encoder": None, "feature_extractor": None}
    widths = {"joint_attention_dim": "text_encoder_3"}
    reads = {"tokenizer_3": 256}
    defaults = {"guidance-scale": 7.0, "steps": 28}
    text_first, text_tokens, parameters = False, 333, 8_000_000_000
    in_file = InFile(
        (
            ("joint_blocks.0.context_block.adaLN_modulation.1.bias", "y_embedder.mlp.0.weight", "pos_embed"),
            ("transformer_blocks.0.norm1_context.linear.weight", "pos_embed.pos_embed"),
        ),
        "stabilityai/stable-diffusion-3-medium-diffusers",
        {"vae": VAE, "text_encoder": CLIP_L, "text_encoder_2": CLIP_G, "text_encoder_3": T5},
        (
            *(("num_layers", each) for each in ("joint_blocks", "transformer_blocks")),
            *(("in_channels", (f"{each}.proj.weight", 1)) for each in ("x_embedder", "pos_embed")),
            ("joint_attention_dim", ("context_embedder.weight", 1)),
        ),
    )

    def most_tokens(self, config: Mapping[str, Any]) -> int:
        """The side of its table, of which a view gets the middle."""
        return int(config.get("pos_embed_max_size") or 0)

    def base_of(self, denoiser: Shapes) -> str:
        """By the layers of 3.5 large, and the two attentions in a layer of 3.5 medium."""
        if any(name.startswith(("joint_blocks.37.", "transformer_blocks.37.")) for name in denoiser):
            return "stabilityai/stable-diffusion-3.5-large"
        if any(name.startswith(("joint_blocks.0.x_block.attn2.", "transformer_blocks.0.attn2.")) for name in denoiser):
            return "stabilityai/stable-diffusion-3.5-medium"
        return super().base_of(denoiser)

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

    def controlnet_problems(self, config: Mapping[str, Any]) -> Iterator[str]:
        """Those that are shown a mask as well."""
        if config.get("extra_conditioning_channels"):
            yield "takes more than a prompt and a hint (extra_conditioning_channels); use another"

    def hint(self, pipe: Any, net: Any, latents: Tensor) -> Tensor:
        """Not shifted for InstantX's, which are told by their pooled zeros, as in diffusers."""
        vae = pipe.vae.config
        unshifted = net.config.force_zeros_for_pooled_projection
        return latents + vae.shift_factor * vae.scaling_factor if unshifted and vae.shift_factor else latents

    def residuals(
        self, asked: Asked, steered: Steered, latents: Tensor, timestep: Tensor, conditions: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Of all rows; some take no text, or the denoiser's tokens in place of latents."""
        net, pooled = steered.net, conditions["pooled_projections"]
        samples = net(
            hidden_states=latents if net.config.use_pos_embed else asked.pipe.transformer.pos_embed(latents),
            controlnet_cond=steered.hints,
            conditioning_scale=steered.scale,
            encoder_hidden_states=None
            if net.config.joint_attention_dim is None
            else conditions["encoder_hidden_states"],
            pooled_projections=pooled.new_zeros(pooled.shape)
            if net.config.force_zeros_for_pooled_projection
            else pooled,
            timestep=self.time(timestep, latents.dtype),
            return_dict=False,
        )[0]
        depth = asked.pipe.transformer.config.num_layers
        spread = [samples[int(number / (depth / len(samples)))] for number in range(depth)]
        return {"block_controlnet_hidden_states": spread}
