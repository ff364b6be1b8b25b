"""Transformers of Flux.1 and Chroma in their makers' layout, and diffusers' converters of it at another width."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType
from typing import Any
from unittest.mock import patch

import torch
from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES
from one_file import swapped

Weights = dict[str, torch.Tensor]

_OUTER = {
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "context_embedder": "txt_in",
    "x_embedder": "img_in",
    "proj_out": "final_layer.linear",
}
_DOUBLE = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "attn.norm_q.weight": "img_attn.norm.query_norm.scale",
    "attn.norm_k.weight": "img_attn.norm.key_norm.scale",
    "attn.norm_added_q.weight": "txt_attn.norm.query_norm.scale",
    "attn.norm_added_k.weight": "txt_attn.norm.key_norm.scale",
}
_SINGLE = {
    "norm.linear": "modulation.lin",
    "proj_out": "linear2",
    "attn.norm_q.weight": "norm.query_norm.scale",
    "attn.norm_k.weight": "norm.key_norm.scale",
}
_TOGETHER = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
}
_APPROXIMATOR = {"linear_1": "in_layer", "linear_2": "out_layer"}


def flux_transformer(net: Any) -> Weights:
    """Its makers' names for the weights of a `FluxTransformer2DModel`, or of a `ChromaTransformer2DModel`."""
    weights = dict(net.state_dict())
    found: Weights = {}
    for end in ("weight", "bias"):
        if (name := f"norm_out.linear.{end}") in weights:
            found[f"final_layer.adaLN_modulation.1.{end}"] = swapped(weights.pop(name))
    for ours, theirs, names in (
        ("transformer_blocks", "double_blocks", _DOUBLE),
        ("single_transformer_blocks", "single_blocks", _SINGLE),
    ):
        for number in range(len(getattr(net, ours))):
            block = _taken(weights, f"{ours}.{number}.")
            found |= {f"{theirs}.{number}.{name}": each for name, each in _block(block, names).items()}
    for name, each in _taken(weights, "distilled_guidance_layer.").items():
        if name.startswith("norms."):
            name = name.replace(".weight", ".scale")
        for mine, other in _APPROXIMATOR.items():
            name = name.replace(f".{mine}.", f".{other}.")
        found[f"distilled_guidance_layer.{name}"] = each
    return found | {_renamed(name, _OUTER): each for name, each in weights.items()}


def _taken(weights: Weights, start: str) -> Weights:
    return {name.removeprefix(start): weights.pop(name) for name in list(weights) if name.startswith(start)}


def _block(weights: Weights, names: Mapping[str, str]) -> Weights:
    kinds = ["linear1"] if "proj_mlp.weight" in weights else ["img_attn.qkv", "txt_attn.qkv"]
    found = {
        f"{kind}.{end}": torch.cat([weights.pop(f"{part}.{end}") for part in _TOGETHER[kind]])
        for kind in kinds
        for end in ("weight", "bias")
    }
    return found | {_renamed(name, names): each for name, each in weights.items()}


def _renamed(name: str, names: Mapping[str, str]) -> str:
    if name in names:
        return names[name]
    part, _, end = name.rpartition(".")
    return f"{names[part]}.{end}"


@contextmanager
def converted_at(net: Any) -> Iterator[None]:
    """The converter of a transformer's class at the width of this one: diffusers has 3072 written down in it."""
    entry = SINGLE_FILE_LOADABLE_CLASSES[type(net).__name__]
    convert: Callable[..., Any] = entry["checkpoint_mapping_fn"]
    assert isinstance(convert, FunctionType)
    assert 3072 in convert.__code__.co_consts
    constants = tuple(net.inner_dim if each == 3072 else each for each in convert.__code__.co_consts)
    narrow = FunctionType(convert.__code__.replace(co_consts=constants), convert.__globals__)
    with patch.dict(entry, checkpoint_mapping_fn=narrow):
        yield
