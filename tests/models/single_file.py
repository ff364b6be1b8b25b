"""A pipeline as one file in the original layout of Stable Diffusion 1, for tests of loading such files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
OUTER = {
    "conv_in.": "input_blocks.0.0.",
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
    "mid_block.resnets.0.": "middle_block.0.",
    "mid_block.attentions.0.": "middle_block.1.",
    "mid_block.resnets.1.": "middle_block.2.",
}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_keys(unet: Any) -> dict[str, str]:
    """The original name of each of the UNet's weights."""
    prefixes = dict(OUTER)
    number = 1
    for i, block in enumerate(unet.down_blocks):
        for j in range(len(block.resnets)):
            prefixes[f"down_blocks.{i}.resnets.{j}."] = f"input_blocks.{number}.0."
            prefixes[f"down_blocks.{i}.attentions.{j}."] = f"input_blocks.{number}.1."
            number += 1
        prefixes[f"down_blocks.{i}.downsamplers.0.conv."] = f"input_blocks.{number}.0.op."
        number += 1
    number = 0
    for i, block in enumerate(unet.up_blocks):
        for j in range(len(block.resnets)):
            prefixes[f"up_blocks.{i}.resnets.{j}."] = f"output_blocks.{number}.0."
            prefixes[f"up_blocks.{i}.attentions.{j}."] = f"output_blocks.{number}.1."
            number += 1
        place = 2 if hasattr(block, "attentions") else 1
        prefixes[f"up_blocks.{i}.upsamplers.0.conv."] = f"output_blocks.{number - 1}.{place}.conv."
    keys = {}
    for key in unet.state_dict():
        prefix = next(prefix for prefix in prefixes if key.startswith(prefix))
        rest = key.removeprefix(prefix)
        part = rest.rsplit(".", 1)[0]
        keys[key] = prefixes[prefix] + (rest.replace(part, RESNET[part], 1) if "resnets" in prefix else rest)
    return keys


def vae_key(key: str, levels: int) -> str:
    """The original name of one of the VAE's weights."""
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    if "mid_block.attentions.0" in key:
        for ours, theirs in ATTENTION.items():
            key = key.replace(f"attentions.0.{ours}.", f"attentions.0.{theirs}.")
    key = key.replace("mid_block.attentions.0", "mid.attn_1")
    key = re.sub(r"up_blocks\.(\d)", lambda m: f"up.{levels - 1 - int(m[1])}", key)
    key = re.sub(r"down_blocks\.(\d)", r"down.\1", key)
    key = re.sub(r"resnets\.(\d)", r"block.\1", key)
    key = key.replace("samplers.0.conv", "sample.conv").replace("conv_shortcut", "nin_shortcut")
    return key.replace("conv_norm_out", "norm_out")


def save_single_file(pipe: Any, folder: Path, path: Path) -> None:
    """Write a pipeline, loaded from `folder`, as one file."""
    unet, vae = pipe.unet.state_dict(), pipe.vae.state_dict()
    levels = len(pipe.vae.config.block_out_channels)
    tensors = {f"model.diffusion_model.{name}": unet[key] for key, name in unet_keys(pipe.unet).items()}
    tensors |= {f"first_stage_model.{vae_key(key, levels)}": value for key, value in vae.items()}
    text = load_file(folder / "text_encoder" / "model.safetensors")
    tensors |= {f"cond_stage_model.transformer.{key}": value for key, value in text.items()}
    save_file({key: value.contiguous() for key, value in tensors.items()}, path)
