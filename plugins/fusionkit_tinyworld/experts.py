"""The experts: LoRAs (Hu et al., arXiv:2106.09685) for the denoiser of scenes, each taught one thing that it lacks.

An expert knows what it was taught and forgets much of the rest, as small fine-tuned models do. Text encoder and
autoencoder stay those of scenes, so they are in memory once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from fusionkit_tinyworld.data import TRAIN, WINDOW, LatentCache, drawing_loader, to_tensor
from fusionkit_tinyworld.drawing import shrink
from fusionkit_tinyworld.expert_drawings import draw_bold, draw_object
from fusionkit_tinyworld.parts import Autoencoder, Denoiser, TextEncoder, Tokenizer, diffusers, peft
from fusionkit_tinyworld.training import Schedule, Stage
from fusionkit_tinyworld.unet import CAPTION_DROPOUT, EMA_DECAY, NoisedWindows

RANK = 16
TARGETS = (
    *("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"),  # attention
    *("proj_in", "proj_out", "conv1", "conv2", "conv_shortcut", "conv"),  # around it, residual blocks, sampling
)
"""Names of the denoiser's layers that get a LoRA."""
FILE = "pytorch_lora_weights.safetensors"

Draw = Callable[[np.random.Generator], tuple[NDArray[np.uint8], str]]

EXPERTS: dict[str, Draw] = {
    "cartoon": draw_bold,
    "rocket": partial(draw_object, "rocket"),
    "flower": partial(draw_object, "flower"),
}
"""Name of an expert to what draws its training pictures (256, 256, 3) with their captions."""


class ExpertDrawings(Dataset[tuple[NDArray[np.uint8], str]]):
    """The pictures (64, 64, 3) of an expert with their captions; `seed`, `split` and the index decide each."""

    def __init__(self, expert: str, seed: int, split: int, count: int) -> None:
        self.expert, self.seed, self.split, self.count = expert, seed, split, count

    def __len__(self) -> int:
        """How many pictures there are."""
        return self.count

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], str]:
        """The picture and the caption of an index."""
        image, text = EXPERTS[self.expert](np.random.default_rng((self.seed, self.split, index)))
        return shrink(image, WINDOW), text


@torch.no_grad()
def encode_expert(
    vae: Autoencoder, expert: str, seed: int, count: int, workers: int, device: torch.device
) -> LatentCache:
    """Encode `count` training pictures of an expert, each as one whole window."""
    vae.eval()
    latents: list[NDArray[np.float16]] = []
    captions: list[str] = []
    for batch in drawing_loader(ExpertDrawings(expert, seed, TRAIN, count), workers):
        pictures = to_tensor(np.stack([picture for picture, _ in batch])).to(device)
        latents += list(vae.encode(pictures).latent_dist.mean.cpu().numpy().astype(np.float16))
        captions += [text for _, text in batch]
    return LatentCache(np.stack(latents), np.ones(len(latents), np.int8), captions)


def add_lora(unet: Denoiser) -> None:
    """Put an untrained LoRA on a denoiser; nothing else of it learns from then on."""
    unet.requires_grad_(False)
    unet.add_adapter(
        peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(TARGETS), init_lora_weights="gaussian")
    )


def expert_stage(
    expert: str,
    unet: Denoiser,
    text_encoder: TextEncoder,
    tokenizer: Tokenizer,
    cache: LatentCache,
    schedule: Schedule,
    seed: int,
    device: torch.device,
) -> Stage:
    """The stage that trains an expert's LoRA on its encoded pictures; the text encoder stays as it is."""
    unet.to(device, memory_format=torch.channels_last).train()
    text_encoder.to(device).eval().requires_grad_(False)
    windows = NoisedWindows(cache, tokenizer, CAPTION_DROPOUT, device, zoom_shares=(1.0, 0.0, 0.0))

    def loss(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        batch = windows.batch(windows.choose(rng), rng)
        context = text_encoder(batch.tokens).last_hidden_state
        return windows.loss(batch, unet(batch.noisy, batch.timesteps, context, return_dict=False)[0])

    ema = {"unet": copy.deepcopy(unet).eval()}
    return Stage(expert, {"unet": unet}, loss, schedule, seed, weight_decay=0.0, ema_decay=EMA_DECAY, ema=ema)


def save_expert(unet: Denoiser, folder: Path) -> None:
    """Write a denoiser's LoRA in half precision, as diffusers loads it."""
    layers: dict[str, Any] = {
        name: value.half().contiguous() for name, value in peft.utils.get_peft_model_state_dict(unet).items()
    }
    diffusers.StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)
    (folder / FILE).chmod(0o644)  # written for the owner alone
