"""The denoiser and the text encoder: their shapes, the noise schedule, and the loss they learn from together."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionkit_tinyworld.data import LATENT, ZOOMS, LatentCache
from fusionkit_tinyworld.parts import Denoiser, TextEncoder, Tokenizer, diffusers, transformers
from fusionkit_tinyworld.training import Schedule, Stage, torch_generator
from fusionkit_vista.tokenizer import CONTEXT_LENGTH, token_ids

BATCH = 16
TEXT_WIDTH = 128
ZOOM_SHARES = (0.56, 0.22, 0.22)
"""Shares of the zooms 1, 2 and 4 in a batch, on average."""
CAPTION_DROPOUT = 0.10
MIN_SNR_GAMMA = 5.0
EMA_DECAY = 0.998


def build_unet() -> Denoiser:
    """An untrained denoiser of 16x16 latents: cross-attention at 16x16, 8x8 and in the middle, 4.4M parameters."""
    return diffusers.UNet2DConditionModel(
        sample_size=LATENT,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(48, 96, 128),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_text_encoder(tokenizer: Tokenizer) -> TextEncoder:
    """An untrained text encoder of two layers for the tokenizer's vocabulary, 0.5M parameters."""
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT_LENGTH,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return transformers.CLIPTextModel(config)


def build_scheduler() -> Any:
    """The noise schedule, which is Stable Diffusion's, with DDIM as the sampler."""
    return diffusers.DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def stratified_timesteps(count: int, total: int, generator: torch.Generator) -> torch.Tensor:
    """Timesteps (count,) below `total`: one from each of `count` equal strata, in random order."""
    strata = (torch.arange(count) + torch.rand(count, generator=generator)) * total / count
    return strata.long().clamp(max=total - 1)[torch.randperm(count, generator=generator)]


@dataclass(frozen=True)
class Batch:
    """Noised windows: latents (n, 4, 16, 16), their noise, the captions' tokens and the timesteps (n,)."""

    noisy: torch.Tensor
    noise: torch.Tensor
    tokens: torch.Tensor
    timesteps: torch.Tensor


class NoisedWindows:
    """Cached windows, noised batch by batch, and the loss of predicting their noise.

    The loss has min-SNR-5 weights (arXiv:2303.09556). Captions are dropped for classifier-free guidance.

    Args:
        cache: The windows.
        tokenizer: For their captions.
        dropout: Share of the captions that are dropped.
        device: Where the models learn.
        zoom_shares: Shares of the zooms 1, 2 and 4 in a batch, on average.
    """

    def __init__(
        self,
        cache: LatentCache,
        tokenizer: Tokenizer,
        dropout: float,
        device: torch.device,
        zoom_shares: tuple[float, ...] = ZOOM_SHARES,
    ) -> None:
        self.dropout, self.device, self.zoom_shares = dropout, device, zoom_shares
        self.latents = torch.from_numpy(cache.latents).float()
        self.ids = torch.tensor(token_ids(tokenizer, cache.captions))
        self.empty = torch.tensor(token_ids(tokenizer, [""])[0])
        self.by_zoom = [np.flatnonzero(cache.zooms == zoom) for zoom in ZOOMS]
        self.alphas = build_scheduler().alphas_cumprod
        snr = self.alphas / (1 - self.alphas)
        self.weights = (snr.clamp(max=MIN_SNR_GAMMA) / snr).to(device)

    def choose(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Numbers of the windows of one batch."""
        zooms = rng.choice(len(ZOOMS), BATCH, p=self.zoom_shares)
        return np.array([int(rng.choice(self.by_zoom[zoom])) for zoom in zooms])

    def batch(self, chosen: NDArray[np.int64], rng: np.random.Generator) -> Batch:
        """The chosen windows, noised to timesteps at random."""
        generator = torch_generator(rng)
        clean, tokens = self.latents[chosen], self.ids[chosen].clone()
        tokens[torch.rand(BATCH, generator=generator) < self.dropout] = self.empty
        timesteps = stratified_timesteps(BATCH, len(self.alphas), generator)
        noise = torch.randn(clean.shape, generator=generator)
        alpha = self.alphas[timesteps][:, None, None, None]
        noisy = (alpha.sqrt() * clean + (1 - alpha).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        return Batch(*(part.to(self.device) for part in (noisy, noise, tokens, timesteps)))

    def loss(self, batch: Batch, predicted: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        """The weighted error of a batch's predicted noise, and the figures to print."""
        errors = (predicted - batch.noise).square().mean((1, 2, 3))
        total = (errors * self.weights[batch.timesteps]).mean()
        return total, {"mse": errors.mean().item(), "weighted": total.item()}


def unet_stage(
    unet: Denoiser,
    text_encoder: TextEncoder,
    tokenizer: Tokenizer,
    cache: LatentCache,
    schedule: Schedule,
    seed: int,
    device: torch.device,
    compiled: bool,
) -> Stage:
    """The stage that trains denoiser and text encoder together on cached latents; the averaged weights count."""
    unet.to(device, memory_format=torch.channels_last).train()
    text_encoder.to(device).train()
    predict = torch.compile(unet) if compiled else unet
    windows = NoisedWindows(cache, tokenizer, CAPTION_DROPOUT, device)

    def loss(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        batch = windows.batch(windows.choose(rng), rng)
        context = text_encoder(batch.tokens).last_hidden_state
        return windows.loss(batch, predict(batch.noisy, batch.timesteps, context, return_dict=False)[0])

    models = {"unet": unet, "text_encoder": text_encoder}
    ema = {name: copy.deepcopy(model).eval() for name, model in models.items()}
    return Stage("unet", models, loss, schedule, seed, ema_decay=EMA_DECAY, ema=ema)
