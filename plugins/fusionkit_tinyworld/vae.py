"""The autoencoder: its shape and its loss."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from fusionkit_tinyworld.canvas import SIDE
from fusionkit_tinyworld.data import FACTOR, HELD_OUT, WINDOW, ZOOMS, Drawings, to_tensor, zoomed
from fusionkit_tinyworld.parts import Autoencoder, diffusers
from fusionkit_tinyworld.training import Schedule, Stage, torch_generator

WINDOWS_A_BATCH = 12
KL_WEIGHT = 1e-4
DECODER_NOISE = 0.03


def build_vae() -> Autoencoder:
    """An untrained autoencoder: 64 px to 16x16 latents of 4 channels, 0.65M parameters."""
    widths = (16, 32, 64)
    return diffusers.AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=WINDOW,
        mid_block_add_attention=False,
        # The latents are whitened after training: unit variance without any factor.
        scaling_factor=1.0,
    )


def reconstruction_loss(difference: torch.Tensor) -> torch.Tensor:
    """L1 + 0.6 L1 of the gradients + 0.5 L1 of 4x4 means + 3 MSE, of a difference (n, 3, h, w)."""
    gradients = difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    pooled = F.avg_pool2d(difference, 4).abs().mean()
    return difference.abs().mean() + 0.6 * gradients + 0.5 * pooled + 3 * difference.square().mean()


def autoencoder_losses(
    vae: Autoencoder, pictures: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Losses (reconstruction, KL, MSE) of pictures (n, 3, h, w) with standard normal noise (n, 4, h/4, w/4)."""
    mean, log_variance = vae.quant_conv(vae.encoder(pictures)).chunk(2, 1)
    log_variance = log_variance.clamp(-30, 20)
    latents = mean + torch.exp(0.5 * log_variance) * noise
    difference = vae.decoder(vae.post_quant_conv(latents)) - pictures
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return reconstruction_loss(difference), kl, difference.square().mean()


def random_windows(pictures: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A batch of windows (12, 64, 64, 3) at one zoom, or every fourth time of larger ones (3, 128, 128, 3)."""
    zoom = int(rng.choice(ZOOMS, p=(0.4, 0.3, 0.3)))
    # Larger windows teach it pictures of the size that it meets in panoramas and upscaling.
    large = zoom > 1 and rng.random() < 0.4
    side, count = (2 * WINDOW, WINDOWS_A_BATCH // 4) if large else (WINDOW, WINDOWS_A_BATCH)
    span = side * SIDE // (WINDOW * zoom)  # in pixels of the drawing
    batch = np.empty((count, side, side, 3), np.uint8)
    for i in range(count):
        picture = pictures[rng.integers(len(pictures))]
        row, column = rng.integers(0, SIDE - span + 1, 2)
        window = zoomed(picture[row : row + span, column : column + span], side // WINDOW)
        batch[i] = window[:, ::-1] if rng.random() < 0.5 else window
    return batch


def vae_stage(
    vae: Autoencoder, pictures: NDArray[np.uint8], schedule: Schedule, seed: int, device: torch.device
) -> Stage:
    """The stage that trains the autoencoder on drawings (n, 256, 256, 3)."""
    vae.to(device, memory_format=torch.channels_last).train()

    def loss(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        batch = to_tensor(random_windows(pictures, rng)).to(device)
        count, _, height, width = batch.shape
        noise = torch.randn(count, 4, height // FACTOR, width // FACTOR, generator=torch_generator(rng)).to(device)
        reconstruction, kl, mse = autoencoder_losses(vae, batch, noise)
        total = reconstruction + KL_WEIGHT * kl
        return total, {"reconstruction": reconstruction.item(), "kl": kl.item(), "mse": mse.item()}

    return Stage("vae", {"vae": vae}, loss, schedule, seed, weight_decay=1e-4)


def decoder_stage(
    vae: Autoencoder, pictures: NDArray[np.uint8], schedule: Schedule, seed: int, device: torch.device
) -> Stage:
    """The stage that trains the decoder alone, for latents that stay as the (whitened) encoder makes them.

    It changes no cached latents, so that it can follow the denoiser's training as well as precede it. A little noise
    on the latents teaches the decoder to bear those of a denoiser.
    """
    vae.to(device, memory_format=torch.channels_last).train().requires_grad_(False)
    models = {"post_quant_conv": vae.post_quant_conv, "decoder": vae.decoder}
    for model in models.values():
        model.requires_grad_(True)

    def loss(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        batch = to_tensor(random_windows(pictures, rng)).to(device)
        with torch.no_grad():
            latents = vae.encode(batch).latent_dist.mean
        noise = torch.randn(latents.shape, generator=torch_generator(rng)).to(device)
        difference = vae.decoder(vae.post_quant_conv(latents + DECODER_NOISE * noise)) - batch
        total = reconstruction_loss(difference)
        return total, {"reconstruction": total.item(), "mse": difference.square().mean().item()}

    return Stage("decoder", models, loss, schedule, seed, weight_decay=1e-4)


@torch.no_grad()
def psnr(vae: Autoencoder, seed: int, device: torch.device, count: int) -> dict[int, float]:
    """Mean PSNR in dB by zoom, of held-out drawings that are encoded and decoded whole."""
    vae.eval()
    drawings = [Drawings(seed, HELD_OUT, count)[index] for index in range(count)]
    result = {}
    for zoom in ZOOMS:
        values = []
        for drawing in drawings:
            picture = to_tensor(zoomed(drawing, zoom)[None]).to(device)
            decoded = vae.decode(vae.encode(picture).latent_dist.mean).sample.clamp(-1, 1)
            mse = ((decoded - picture) / 2).square().mean()
            values.append(float(-10 * torch.log10(mse)))
        result[zoom] = float(np.mean(values))
    return result
