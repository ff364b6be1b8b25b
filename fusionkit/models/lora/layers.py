"""The layers of a LoRA on a pipeline's modules: peft's, each with its own rank and alpha, filled and counted."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import Conv2d, Linear, Module, Parameter

from fusionkit.errors import ModelError
from fusionkit.models.lora.file import LoraFile
from fusionkit.models.lora.fit import Match
from fusionkit.models.lora.names import named


def shapes_of(module: Module) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of a module's layers that a LoRA can change, by the layers' names."""
    return {
        name: tuple(each.weight.shape)
        for name, each in module.named_modules()
        if isinstance(each, Linear) or (isinstance(each, Conv2d) and each.groups == 1)
    }


def put_on(pipe: Any, file: LoraFile, matches: Sequence[Match], adapter: str) -> None:
    """Put a file's layers on a pipeline's modules, at scale 1, each as up down alpha/rank.

    Raises:
        ModelError: Its numbers can't be read, are not finite or change nothing, or a layer did not take them; reads on
            from the file's name.
    """
    weights = _weights(file)
    for part in dict.fromkeys(each.layer.part for each in matches):
        own = [each for each in matches if each.layer.part == part]
        module = getattr(pipe, part)
        _inject(module, own, adapter)
        filled = _fill(module, own, weights, adapter)
        if left := [f"{part}: {each.name}" for each in own if each.name not in filled]:
            raise ModelError(f"was not put on {len(left):,} of its {len(matches):,} layers: {named(left)}")
        if extra := [f"{part}: {name}" for name in _adapted(module, adapter) if name not in filled]:
            raise ModelError(f"was put on {len(extra):,} layers that are not in it: {named(extra)}")


def finish(pipe: Any, scales: Mapping[str, float]) -> None:
    """Switch adapters on, each at its scale."""
    pipe.set_adapters(list(scales), list(scales.values()))


def _weights(file: LoraFile) -> dict[str, Tensor]:
    """The file's matrices, whose numbers are finite and which change something."""
    try:
        with safe_open(str(file.path), framework="pt") as content:
            weights = {key: content.get_tensor(key) for layer in file.layers for key in layer.keys.values()}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"can't be read: {' '.join(str(error).split()):.200}") from error
    weights = {key: value if value.is_floating_point() else value.float() for key, value in weights.items()}
    if wrong := [key for key, value in weights.items() if not value.float().isfinite().all()]:
        raise ModelError(f"has numbers that are not finite in {named(wrong)}: save it again, or choose another one")
    if not any(all(weights[key].any() for key in layer.keys.values()) and layer.scaling for layer in file.layers):
        raise ModelError(
            "changes nothing: in each of its layers one matrix is zero; it was saved before it was trained"
        )
    return weights


def _inject(module: Module, matches: Sequence[Match], adapter: str) -> None:
    # Of rank 1, and then filled: patterns of ranks are expressions, which take minutes where all ranks differ.
    config = LoraConfig(r=1, lora_alpha=1, target_modules=[each.name for each in matches], init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config`")  # a second one is meant
        inject_adapter_in_model(config, module, adapter_name=adapter)
    # As diffusers and transformers mark what has adapters.
    vars(module)["_hf_peft_config_loaded"] = True


def _fill(module: Module, matches: Sequence[Match], weights: Mapping[str, Tensor], adapter: str) -> set[str]:
    """Give the layers the file's numbers, and answer the names of those that took them."""
    filled = set()
    layers = _adapted(module, adapter)
    for each in matches:
        target = layers.get(each.name)
        if target is None:
            continue
        keys = each.layer.keys
        down, up = weights[keys["down"]], weights[keys["up"]]
        if "mid" in keys:
            # up (o, r), mid (r, s, k, k), down (s, i): mid and down together are one kernel (r, i, k, k).
            down = torch.einsum("rskl,si->rikl", weights[keys["mid"]].float(), down.float().flatten(1))
        base = target.get_base_layer().weight
        rows, kernel = up.shape[1], base.shape[2:]
        shapes = (rows, base.shape[1], *kernel), (base.shape[0], rows, *(1 for _ in kernel))
        for half, matrix, shape in zip((target.lora_A, target.lora_B), (down, up), shapes, strict=True):
            half[adapter].weight = Parameter(matrix.reshape(shape).to(base), requires_grad=False)
        # What peft's `set_scale` computes from.
        target.r[adapter], target.lora_alpha[adapter] = rows, each.layer.scaling * rows
        target.set_scale(adapter, 1.0)
        if target.get_delta_weight(adapter).shape == base.shape:
            filled.add(each.name)
    return filled


def _adapted(module: Module, adapter: str) -> dict[str, Any]:
    """The layers that have an adapter, by name."""
    return {
        name: each
        for name, each in module.named_modules()
        if isinstance(each, BaseTunerLayer) and adapter in getattr(each, "lora_A", {})
    }
