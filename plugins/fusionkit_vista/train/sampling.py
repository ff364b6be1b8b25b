"""Samples of the denoiser and of the transformer while they train, and sheets of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from fusionkit_vista.tokenizer import token_ids
from fusionkit_vista.train.denoiser import build_scheduler
from fusionkit_vista.train.flow import Flow
from fusionkit_vista.train.pictures import pieces, to_bytes

GUIDANCE = 4.0
STEPS = 24
SIDE = 16
Sampler = Callable[[Sequence[str], int], torch.Tensor]
"""Takes captions and a seed, and gives latents (n, c, 16, 16)."""


def start_noise(count: int, channels: int, seed: int, device: torch.device) -> torch.Tensor:
    """Noise (count, channels, 16, 16); the i-th depends on seed + i alone, and not on the device."""
    each = [torch.randn(channels, SIDE, SIDE, generator=torch.Generator().manual_seed(seed + i)) for i in range(count)]
    return torch.stack(each).to(device)


def denoiser_sampler(unet: Any, text_encoder: Any, tokenizer: Any, device: torch.device, steps: int = STEPS) -> Sampler:
    """Samples the denoiser by DPM-Solver++ (2M) of arXiv:2211.01095, algorithm 2."""
    alphas = build_scheduler().alphas_cumprod.double()
    times = torch.linspace(len(alphas) - 1, 0, steps + 1).round().long()[:-1]

    @torch.no_grad()
    def sample(captions: Sequence[str], seed: int) -> torch.Tensor:
        ids = torch.tensor(token_ids(tokenizer, [*[""] * len(captions), *captions]), device=device)
        context = text_encoder(ids).last_hidden_state
        x: torch.Tensor = start_noise(len(captions), unet.config.in_channels, seed, device)
        before: tuple[torch.Tensor, float] | None = None
        for now, then in pairwise([*times.tolist(), -1]):
            without, given = unet(torch.cat([x, x]), now, context).sample.chunk(2)
            signal, spread = float(alphas[now].sqrt()), float((1 - alphas[now]).sqrt())
            clean: torch.Tensor = signal * x - spread * (without + GUIDANCE * (given - without))
            if then < 0:
                return clean
            next_signal, next_spread = float(alphas[then].sqrt()), float((1 - alphas[then]).sqrt())
            h = math.log(next_signal / next_spread) - math.log(signal / spread)
            ahead = clean if before is None else clean + (clean - before[0]) * h / (2 * before[1])
            x = next_spread / spread * x - next_signal * math.expm1(-h) * ahead
            before = clean, h
        raise ValueError("no steps")

    return sample


def flow_sampler(flow: Flow, tokenizer: Any, device: torch.device, steps: int = STEPS) -> Sampler:
    """Samples the transformer by Euler's method."""

    @torch.no_grad()
    def sample(captions: Sequence[str], seed: int) -> torch.Tensor:
        count = len(captions)
        text = flow.text(torch.tensor(token_ids(tokenizer, [*[""] * count, *captions]), device=device))
        x = start_noise(count, flow.transformer.config.in_channels // 4, seed, device)
        levels = torch.linspace(1, 0, steps + 1, device=device)
        for now, then in pairwise(levels):
            both = flow.velocity(torch.cat([x, x]), now.expand(2 * count), *text)
            without, given = both.chunk(2)
            x = x + (then - now) * (without + GUIDANCE * (given - without))
        return x

    return sample


@torch.no_grad()
def draw(sample: Sampler, vae: Any, captions: Sequence[str], seed: int, batch: int) -> NDArray[np.uint8]:
    """One picture (n, 128, 128, 3) to each caption; the i-th depends on its caption and on seed + i alone."""
    pictures = []
    for start in range(0, len(captions), batch):
        latents = sample(captions[start : start + batch], seed + start)
        pictures += [to_bytes(vae.decode(part).sample).cpu().numpy() for part in pieces(latents, 16)]
    return np.concatenate(pictures)


def sheet(pictures: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Pictures (n, h, w, 3) in rows of `columns`; missing places are white."""
    missing = -len(pictures) % columns
    filled = np.concatenate([pictures, np.full((missing, *pictures.shape[1:]), 255, np.uint8)])
    count, h, w, _ = filled.shape
    grid = filled.reshape(count // columns, columns, h, w, 3).swapaxes(1, 2)
    return np.ascontiguousarray(grid.reshape(count // columns * h, columns * w, 3))


def write(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture (h, w, 3) as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, compress_level=6)
