"""The ControlNet of edges (Zhang et al., arXiv:2302.05543): its hints, its training data and the loss it learns from.

A hint holds the canny edges of a picture. In upscaling (AccDiffusion v2, arXiv:2412.02099) that is the picture of the
stage before, so most hints here are the edges of the picture at half the size, enlarged.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fusionkit_tinyworld.data import (
    FACTOR,
    LATENT,
    TRAIN,
    WINDOW,
    ZOOMS,
    CutDrawings,
    LatentCache,
    Window,
    drawing_loader,
    to_tensor,
)
from fusionkit_tinyworld.parts import Autoencoder, ControlNet, Denoiser, TextEncoder, Tokenizer, diffusers
from fusionkit_tinyworld.training import Schedule, Stage
from fusionkit_tinyworld.unet import BATCH, EMA_DECAY, NoisedWindows

HINT_CHANNELS = (16, 32, 64)
"""Channels of the hint's embedding; each but the first halves the side, from 64 pixels to 16 latents."""
CLOSE_UPS = 3
"""Close-ups that each drawing gives at zoom 2, and as many at zoom 4."""
ZOOM_SHARES = (0.2, 0.4, 0.4)
"""Shares of the zooms 1, 2 and 4 in a batch, on average."""
ENLARGED_SHARE = 0.7
"""Share of the hints that come from the picture at half the size."""
CAPTION_DROPOUT = 0.3
THRESHOLD_SPREAD = 0.33


def edges(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The canny edges (h, w), 0 or 255, of a picture (h, w, 3), with thresholds 33 % around the picture's median."""
    median = float(np.median(picture))
    lower = int(max(0, (1 - THRESHOLD_SPREAD) * median))
    upper = int(min(255, (1 + THRESHOLD_SPREAD) * median))
    return np.asarray(cv2.Canny(picture, lower, upper), np.uint8)


def enlarged(hint: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A hint (h, w) enlarged bicubically to (side, side), clipped to 0 to 255."""
    return np.asarray(cv2.resize(hint, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def hint_tensor(hints: NDArray[np.uint8]) -> torch.Tensor:
    """Hints (n, 64, 64) as what the ControlNet takes: (n, 3, 64, 64) in 0 to 1."""
    return torch.from_numpy(np.ascontiguousarray(hints))[:, None].float().div(255).expand(-1, 3, -1, -1)


def build_controlnet(unet: Denoiser) -> ControlNet:
    """A ControlNet that starts as a copy of the denoiser's first half and adds nothing yet, 2.0M parameters."""
    return diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=HINT_CHANNELS)


@dataclass(frozen=True)
class HintCache:
    """Windows ready for the ControlNet: what the UNet's cache holds, and two hints (n, 2, 64, 64) to each window.

    The first hint is of the window itself, the second is of the picture at half the size, enlarged. (A window at
    zoom 1 has no smaller picture, so both are of the window itself.)
    """

    windows: LatentCache
    hints: NDArray[np.uint8]

    def save(self, path: Path) -> None:
        """Write the cache as an .npz file."""
        w = self.windows
        captions = np.array(w.captions)
        np.savez_compressed(path, latents=w.latents, zooms=w.zooms, captions=captions, hints=self.hints)

    @classmethod
    def load(cls, path: Path) -> HintCache:
        """Read a cache."""
        with np.load(path) as data:
            hints = data["hints"]
        return cls(LatentCache.load(path), hints)


@torch.no_grad()
def encode_hints(
    vae: Autoencoder, seed: int, count: int, workers: int, device: torch.device, split: int = TRAIN
) -> HintCache:
    """The windows of `count` drawings with their hints.

    Every second drawing's hints at the sizes of 64 and 128 pixels are taken from the decoded picture, because what
    is upscaled is a decoded picture too.
    """
    vae.eval()
    cut: list[_HintedWindow] = []
    for number, batch in enumerate(drawing_loader(CutDrawings(seed, split, count, CLOSE_UPS, every=1), workers)):
        smaller: list[NDArray[np.uint8]] = []
        for zoom in ZOOMS:
            pictures = np.stack([drawing.pictures[zoom] for drawing in batch])
            encoded = vae.encode(to_tensor(pictures).to(device)).latent_dist.mean
            if zoom != ZOOMS[-1]:
                pictures[::2] = to_pictures(vae.decode(encoded[::2]).sample)
            same = [edges(picture) for picture in pictures]
            before = [enlarged(hint, WINDOW * zoom) for hint in smaller] or same
            smaller = same
            halves = encoded.cpu().numpy().astype(np.float16)
            for drawing, latents, *hints in zip(batch, halves, same, before, strict=True):
                cut += [_crop(w, latents, hints) for w in drawing.windows if w.zoom == zoom]
        if number % 10 == 9:
            print(f"encoded {len(cut)} windows with hints of {16 * (number + 1)} drawings", flush=True)
    zooms = np.array([c.window.zoom for c in cut], np.int8)
    windows = LatentCache(np.stack([c.latents for c in cut]), zooms, [c.window.caption for c in cut])
    return HintCache(windows, np.stack([c.hints for c in cut]))


class _HintedWindow(NamedTuple):
    window: Window
    latents: NDArray[np.float16]
    hints: NDArray[np.uint8]


def _crop(window: Window, latents: NDArray[np.float16], hints: list[NDArray[np.uint8]]) -> _HintedWindow:
    """A window of a whole drawing's latents (4, h, w) and hints (4 h, 4 w)."""
    row, column = window.row, window.column
    top, left = FACTOR * row, FACTOR * column
    return _HintedWindow(
        window,
        latents[:, row : row + LATENT, column : column + LATENT].copy(),
        np.stack([hint[top : top + WINDOW, left : left + WINDOW] for hint in hints]),
    )


def to_pictures(images: torch.Tensor) -> NDArray[np.uint8]:
    """Decoded images (n, 3, h, w) in -1 to 1 as pictures (n, h, w, 3)."""
    pictures = (images.clamp(-1, 1) + 1).mul(127.5).round().permute(0, 2, 3, 1)
    return pictures.cpu().numpy().astype(np.uint8)


def canny_stage(
    controlnet: ControlNet,
    unet: Denoiser,
    text_encoder: TextEncoder,
    tokenizer: Tokenizer,
    cache: HintCache,
    schedule: Schedule,
    seed: int,
    device: torch.device,
) -> Stage:
    """The stage that trains the ControlNet on cached windows; the denoiser and the text encoder stay as they are.

    Noise prediction with min-SNR-5 weights, as the denoiser was trained. More captions are dropped, so that the
    net reads the hint.
    """
    controlnet.to(device, memory_format=torch.channels_last).train()
    unet.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    text_encoder.to(device).eval().requires_grad_(False)
    windows = NoisedWindows(cache.windows, tokenizer, CAPTION_DROPOUT, device, ZOOM_SHARES)

    def loss(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        chosen = windows.choose(rng)
        kinds = (rng.random(BATCH) < ENLARGED_SHARE).astype(int)
        hints = hint_tensor(cache.hints[chosen, kinds]).contiguous(memory_format=torch.channels_last).to(device)
        batch = windows.batch(chosen, rng)
        context = text_encoder(batch.tokens).last_hidden_state
        down, middle = controlnet(batch.noisy, batch.timesteps, context, hints, return_dict=False)
        predicted = unet(
            batch.noisy,
            batch.timesteps,
            context,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
        return windows.loss(batch, predicted)

    ema = {"controlnet": copy.deepcopy(controlnet).eval()}
    return Stage("canny", {"controlnet": controlnet}, loss, schedule, seed, ema_decay=EMA_DECAY, ema=ema)


def save_controlnet(controlnet: ControlNet, folder: Path) -> None:
    """Write the ControlNet as fp16 safetensors in diffusers' layout; its weights stay as they are."""
    half = copy.deepcopy(controlnet).half()
    # Otherwise the folder that the denoiser was loaded from would be written down.
    half.register_to_config(_name_or_path="")
    half.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)  # written for the owner alone
