"""Flux.2: klein, guided and distilled, and dev, whose guidance scale is an input."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import diffusers
import torch
import transformers
from tiny_parts import Case, byte_pairs, flow, qwen3, seeded, shaken

LAYERS = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 31, "head_dim": 4}
"""As many that each layer that is read is there."""


def denoiser(*, embedded: bool) -> Any:
    net = diffusers.Flux2Transformer2DModel(
        patch_size=1,
        in_channels=128,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=embedded,
    )
    return shaken(net)


def autoencoder() -> Any:
    vae = diffusers.AutoencoderKLFlux2(
        block_out_channels=(4, 4, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=32,
        norm_num_groups=2,
        sample_size=64,
    )
    with torch.no_grad():
        vae.bn.running_mean.copy_(torch.randn(128))
        vae.bn.running_var.copy_(torch.rand(128) + 0.5)
    return vae.eval()


def klein(*, distilled: bool) -> Any:
    tokenizer = byte_pairs()
    return diffusers.Flux2KleinPipeline(
        scheduler=flow(shift=3.0, use_dynamic_shifting=True),
        vae=autoencoder(),
        text_encoder=transformers.Qwen3ForCausalLM(qwen3(tokenizer, **LAYERS)).eval(),
        tokenizer=tokenizer,
        transformer=denoiser(embedded=False),
        is_distilled=distilled,
    )


def dev() -> Any:
    """Its texts are filled up in front."""
    tokenizer = deepcopy(byte_pairs())
    tokenizer.padding_side = "left"
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    text = transformers.MistralConfig(vocab_size=len(tokenizer), max_position_embeddings=1024, **LAYERS, **heads)
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.Mistral3Config(text_config=text, vision_config={"model_type": "pixtral", **vision})
    processor = transformers.PixtralProcessor(
        image_processor=transformers.PixtralImageProcessor(), tokenizer=tokenizer, chat_template=tokenizer.chat_template
    )
    return diffusers.Flux2Pipeline(
        scheduler=flow(shift=3.0, use_dynamic_shifting=True),
        vae=autoencoder(),
        text_encoder=transformers.Mistral3ForConditionalGeneration(config).eval(),
        tokenizer=processor,
        transformer=denoiser(embedded=True),
    )


def drawn_by_klein(
    pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any
) -> torch.Tensor:
    """Its negative prompt is always empty, unless it is given as embeddings; it answers its autoencoder's latents."""
    embeds = pipe.encode_prompt(negative)[0]
    latents = pipe._patchify_latents(noise)
    images = pipe(prompt=prompt, negative_prompt_embeds=embeds, guidance_scale=scale, latents=latents, **call).images
    norm = pipe.vae.bn
    deviation = (norm.running_var + pipe.vae.config.batch_norm_eps).sqrt()
    packed = pipe._patchify_latents(images)
    unscaled = (packed - norm.running_mean.view(1, -1, 1, 1)) / deviation.view(1, -1, 1, 1)
    result: torch.Tensor = pipe._unpatchify_latents(unscaled)
    return result


def drawn_by_dev(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    """It answers its tokens."""
    _, _, height, width = noise.shape
    packed = pipe(prompt=prompt, guidance_scale=scale, latents=pipe._patchify_latents(noise), **call).images
    tokens = packed.transpose(1, 2).reshape(1, 128, height // 2, width // 2)
    latents: torch.Tensor = pipe._unpatchify_latents(tokens)
    return latents


CASES = [
    Case("flux2-klein", "flux2", seeded(lambda: klein(distilled=False)), drawn_by_klein),
    Case("flux2-dev", "flux2", seeded(dev), drawn_by_dev, negative=False),
]

DISTILLED = Case(
    "flux2-klein-distilled", "flux2", seeded(lambda: klein(distilled=True)), drawn_by_klein, negative=False
)
