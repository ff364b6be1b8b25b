"""LoRA files as trainers write them, for the tiny models, and the same weights merged by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from fusionkit.models.lora.layers import shapes_of

PREFIXES = {"sd": {"unet": "lora_unet_", "text_encoder": "lora_te_"}}
PREFIXES["sdxl"] = {"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}


def halves(shape: tuple[int, ...], rank: int, generator: torch.Generator, size: float = 0.1) -> tuple[Tensor, Tensor]:
    """Random down and up of a layer."""
    down = torch.randn(rank, *shape[1:], generator=generator) * size
    up = torch.randn(shape[0], rank, *(1 for _ in shape[2:]), generator=generator) * size
    return down, up


def kohya_key(part: str, name: str, kind: str) -> str:
    """A layer's name as kohya's trainer writes it; transformers 5 dropped `text_model` from what files still have."""
    if part != "unet" and name.startswith("encoder."):
        name = f"text_model.{name}"
    return PREFIXES[kind][part] + name.replace(".", "_")


def kohya_lora(
    pipe: Any,
    kind: str,
    path: Path,
    *,
    ranks: Iterable[int] = (1, 4, 2, 3),
    alphas: Iterable[float | None] = (0.5, None, 6.0),
    seed: int = 0,
    wanted: Callable[[str], bool] = lambda name: True,
    size: float = 0.1,
) -> dict[tuple[str, str], Tensor]:
    """Write a LoRA of a pipeline's layers, ranks and alphas in turn; answers alpha/rank up down of each layer."""
    generator = torch.Generator().manual_seed(seed)
    content, changes = {}, {}
    each_rank, each_alpha = cycle(ranks), cycle(alphas)
    for part in PREFIXES[kind]:
        for name, shape in shapes_of(getattr(pipe, part)).items():
            if not wanted(name):
                continue
            rank, alpha, key = next(each_rank), next(each_alpha), kohya_key(part, name, kind)
            down, up = halves(shape, rank, generator, size)
            content |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
            if alpha is not None:
                content[f"{key}.alpha"] = torch.tensor(alpha)
            scale = 1.0 if alpha is None else alpha / rank
            changes[part, name] = scale * (up.flatten(1) @ down.flatten(1)).reshape(shape)
    save_file(content, path)
    return changes


def merge(pipe: Any, changes: dict[tuple[str, str], Tensor], scale: float = 1.0) -> None:
    """Add weights to a pipeline's layers."""
    with torch.no_grad():
        for (part, name), change in changes.items():
            getattr(pipe, part).get_submodule(name).weight += scale * change


def answers(pipe: Any, kind: str) -> list[Tensor]:
    """The text encoders' answers to a prompt, and the denoiser's to noise."""
    with torch.inference_mode():
        text, _, *rest = (
            pipe.encode_prompt("a cat on the sea", "cpu", 1, False)
            if kind == "sd"
            else pipe.encode_prompt(
                "a cat on the sea", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
            )
        )
        extra: dict[str, Any] = {}
        pooled = [rest[0]] if kind == "sdxl" else []
        if pooled:
            extra = {"added_cond_kwargs": {"text_embeds": pooled[0], "time_ids": torch.zeros(1, 6)}}
        noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
        return [text, *pooled, pipe.unet(noise, 7, encoder_hidden_states=text, **extra).sample]


def farthest(one: list[Tensor], other: list[Tensor]) -> float:
    """The largest difference between two lists of tensors."""
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))
