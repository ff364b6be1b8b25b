"""Sana and Sana-Sprint."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from tiny_parts import Case, begun_byte_pairs, gemma2, seeded, shaken


def deep_compression() -> Any:
    """`AutoencoderDC` with a factor of 8."""
    blocks = {"encoder_block_types": ("ResBlock",) * 4, "decoder_block_types": ("ResBlock",) * 4}
    widths = {"encoder_block_out_channels": (4, 4, 8, 8), "decoder_block_out_channels": (4, 4, 8, 8)}
    layers = {"encoder_layers_per_block": (1,) * 4, "decoder_layers_per_block": (1,) * 4}
    return diffusers.AutoencoderDC(
        latent_channels=8,
        encoder_qkv_multiscales=((),) * 4,
        decoder_qkv_multiscales=((),) * 4,
        scaling_factor=0.41407,
        **blocks,
        **widths,
        **layers,
    ).eval()


def parts(*, sprint: bool) -> dict[str, Any]:
    net = diffusers.SanaTransformer2DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=4,
        attention_head_dim=8,
        num_layers=2,
        num_cross_attention_heads=2,
        cross_attention_head_dim=16,
        cross_attention_dim=32,
        caption_channels=24,
        sample_size=16,
        guidance_embeds=sprint,
        qk_norm="rms_norm_across_heads" if sprint else None,
    )
    shaken(net).proj_out.weight.mul_(0.2)  # a velocity of about 1
    return {
        "tokenizer": begun_byte_pairs(),
        "text_encoder": gemma2(begun_byte_pairs()),
        "vae": deep_compression(),
        "transformer": net,
    }


def pipeline() -> Any:
    solver = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return diffusers.SanaPipeline(scheduler=solver, **parts(sprint=False))


def sprint() -> Any:
    return diffusers.SanaSprintPipeline(scheduler=diffusers.SCMScheduler(), **parts(sprint=True))


def drawn(pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any) -> torch.Tensor:
    guided = {"negative_prompt": negative, "guidance_scale": scale}
    latents: torch.Tensor = pipe(prompt, **guided, use_resolution_binning=False, latents=noise, **call).images
    return latents


def drawn_by_sprint(
    pipe: Any, noise: torch.Tensor, prompt: str, negative: str, scale: float, **call: Any
) -> torch.Tensor:
    plain = {"use_resolution_binning": False, "intermediate_timesteps": None}
    latents: torch.Tensor = pipe(prompt, guidance_scale=scale, **plain, latents=noise, **call).images
    return latents


CASES = [
    Case("sana", "sana", seeded(pipeline), drawn),
    Case("sana-sprint", "sana-sprint", seeded(sprint), drawn_by_sprint, negative=False),
]
