"""Tiny pipelines as one file in their makers' layout, for tests of loading such files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tiny_parts import clip_tokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))
from single_file import vae_key

PREFIX = "model.diffusion_model."
_SD3 = {
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "pos_embed.proj": "x_embedder.proj",
    "proj_out": "final_layer.linear",
}
_BLOCK = {
    "attn.norm_q": "x_block.attn.ln_q",
    "attn.norm_k": "x_block.attn.ln_k",
    "attn.norm_added_q": "context_block.attn.ln_q",
    "attn.norm_added_k": "context_block.attn.ln_k",
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "attn2.norm_q": "x_block.attn2.ln_q",
    "attn2.norm_k": "x_block.attn2.ln_k",
    "attn2.to_out.0": "x_block.attn2.proj",
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
}
_TOGETHER = {
    "x_block.attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "context_block.attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
}


def narrow_clip(width: int) -> Any:
    """A CLIP of another width: in a file, diffusers tells both of SD3's by that."""
    config = transformers.CLIPTextConfig(
        vocab_size=len(clip_tokenizer()),
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=16,
        eos_token_id=clip_tokenizer().eos_token_id,
        bos_token_id=clip_tokenizer().bos_token_id,
        pad_token_id=clip_tokenizer().pad_token_id,
    )
    return transformers.CLIPTextModelWithProjection(config).eval()


def sd3_transformer(net: Any) -> dict[str, torch.Tensor]:
    """Stability's names for the weights of an `SD3Transformer2DModel`."""
    weights, layers = net.state_dict(), net.config.num_layers
    found = {"pos_embed": weights["pos_embed.pos_embed"]}
    for end in ("weight", "bias"):
        found |= {f"{theirs}.{end}": weights[f"{ours}.{end}"] for ours, theirs in _SD3.items()}
        found[f"context_embedder.{end}"] = weights[f"context_embedder.{end}"]
        found[f"final_layer.adaLN_modulation.1.{end}"] = swapped(weights[f"norm_out.linear.{end}"])
    for number in range(layers):
        inner = {
            name.removeprefix(start): each
            for name, each in weights.items()
            if name.startswith(start := f"transformer_blocks.{number}.")
        }
        found |= {f"joint_blocks.{number}.{name}": each for name, each in _block(inner, last=number == layers - 1)}
    return found


def _block(weights: Mapping[str, torch.Tensor], *, last: bool) -> list[tuple[str, torch.Tensor]]:
    found = []
    for end in ("weight", "bias"):
        for theirs, ours in _TOGETHER.items():
            if f"{ours[0]}.{end}" in weights:
                found.append((f"{theirs}.{end}", torch.cat([weights[f"{each}.{end}"] for each in ours])))
        for ours_, theirs in _BLOCK.items():
            if (name := f"{ours_}.{end}") in weights:
                swap = last and ours_ == "norm1_context.linear"
                found.append((f"{theirs}.{end}", swapped(weights[name]) if swap else weights[name]))
    return found


def swapped(weights: torch.Tensor) -> torch.Tensor:
    return torch.cat(weights.chunk(2)[::-1])


def z_image_transformer(net: Any) -> dict[str, torch.Tensor]:
    """Its makers' names for the weights of a `ZImageTransformer2DModel`."""
    weights = dict(net.state_dict())
    for name in [each for each in weights if each.endswith("attention.to_q.weight")]:
        three = [weights.pop(name.replace("to_q", each)) for each in ("to_q", "to_k", "to_v")]
        weights[name.replace("to_q", "qkv")] = torch.cat(three)
    names = {
        "all_final_layer.2-1.": "final_layer.",
        "all_x_embedder.2-1.": "x_embedder.",
        ".attention.norm_k.": ".attention.k_norm.",
        ".attention.norm_q.": ".attention.q_norm.",
        ".attention.to_out.0.": ".attention.out.",
    }
    found = {}
    for name, each in weights.items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        found[name] = each
    return found


def vae_weights(vae: Any) -> dict[str, torch.Tensor]:
    levels = len(vae.config.block_out_channels)
    found = {}
    for key, value in vae.state_dict().items():
        name = f"first_stage_model.{vae_key(key, levels)}"
        # Stability's autoencoders attend by convolutions of one pixel.
        found[name] = value[..., None, None] if ".attn_1." in name and value.ndim == 2 else value
    return found


def clip_weights(encoder: Any, name: str) -> dict[str, torch.Tensor]:
    start = f"text_encoders.{name}.transformer."
    return {f"{start}{key}": each for key, each in encoder.state_dict().items()}


def t5_weights(encoder: Any) -> dict[str, torch.Tensor]:
    return {f"text_encoders.t5xxl.transformer.{key}": each for key, each in encoder.state_dict().items()}


def inner(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A denoiser's weights as a file has them that holds more."""
    return {f"{PREFIX}{name}": each for name, each in weights.items()}


def write(path: Path, *weights: Mapping[str, torch.Tensor]) -> Path:
    found = {name: each.contiguous().clone() for some in weights for name, each in some.items()}
    save_file(found, path)
    return path
