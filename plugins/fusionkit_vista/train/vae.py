"""The autoencoder: its shape, its start, and what it learns from."""

from __future__ import annotations

import copy
import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from fusionkit_vista.train.device import fit_norms, half
from fusionkit_vista.train.loop import Chance, Figures, Stage
from fusionkit_vista.train.pictures import DONE, Pictures, Some, pieces, to_floats
from fusionkit_vista.windows import MARGIN, SIDE

CHANNELS = 16
WIDTHS = (32, 64, 96, 96)
FACTOR = 8
KL_WEIGHT = 1e-4
DECODER_NOISE = 0.05
"""Spread of the noise on the latents with which the decoder is trained further, so that it bears a denoiser's."""


def build_vae(channels: int = CHANNELS, widths: tuple[int, ...] = WIDTHS) -> Any:
    """An untrained autoencoder of factor 8 that is nearly linear: 128 px to 16x16 latents."""
    count = len(widths)
    vae = import_module("diffusers").AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=channels,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * count,
        up_block_types=("UpDecoderBlock2D",) * count,
        norm_num_groups=8,
        sample_size=SIDE,
        mid_block_add_attention=False,
        # The latents are whitened after training: unit variance without any factor, and a mean of zero.
        scaling_factor=1.0,
        shift_factor=0.0,
    )
    start_linear(vae)
    return vae


@torch.no_grad()
def start_linear(vae: Any) -> None:
    """Weights with which the untrained autoencoder passes its signal on at full strength and is nearly linear.

    Orthogonal weights where the signal passes, residual branches at a tenth, upsampling near the identity, little
    noise of the posterior.
    """
    for module in vae.modules():
        kind = type(module).__name__
        if kind == "ResnetBlock2D":
            torch.nn.init.orthogonal_(module.conv1.weight)
            module.conv2.weight.mul_(0.1)
            module.conv2.bias.zero_()
            if module.conv_shortcut is not None:
                torch.nn.init.orthogonal_(module.conv_shortcut.weight)
        elif kind == "Downsample2D":
            torch.nn.init.orthogonal_(module.conv.weight)
        elif kind == "Upsample2D":
            weight = module.conv.weight
            weight.mul_(0.5)
            i = torch.arange(min(weight.shape[:2]))
            weight[i, i, 1, 1] += 1
    for weight, gain in (
        (vae.encoder.conv_in.weight, 1),
        (vae.decoder.conv_in.weight, 1),
        (vae.encoder.conv_out.weight, 2),
    ):
        torch.nn.init.orthogonal_(weight, gain)
    count = vae.config.latent_channels
    for conv, size in ((vae.quant_conv, 2 * count), (vae.post_quant_conv, count)):
        conv.weight.copy_(torch.eye(size)[..., None, None])
        conv.bias.zero_()
    vae.quant_conv.weight[count:] *= 0.1
    vae.quant_conv.bias[count:] = -4


def reconstruction_loss(d: torch.Tensor) -> torch.Tensor:
    """L1 + 0.6 L1 of the gradients + 0.5 L1 of 4x4 means + 5 MSE, of a difference (n, 3, h, w)."""
    gradients = d.diff(dim=-1).abs().mean() + d.diff(dim=-2).abs().mean()
    return d.abs().mean() + 0.6 * gradients + 0.5 * F.avg_pool2d(d, 4).abs().mean() + 5 * d.square().mean()


def windows(pictures: Some, chance: Chance, count: int) -> tuple[torch.Tensor, bool]:
    """A batch of crops as floats (n, 3, side, side), and whether it is one for latents of half the side.

    `count` is that of crops of 128 px; of every eight batches four have four times as many of 64 px, two have 128 px,
    one has whole pictures with their margin, and one 128 px for latents of half the side.
    """
    total, draw = pictures.pixels.shape, chance.host.random(4)
    kind = int(draw[0] * 8)
    side = 64 if kind < 4 else min(total[1:3]) if kind == 4 else SIDE
    number = count * 4 if side == 64 else max(1, count * SIDE**2 // side**2)
    chosen = chance.below(total[0], number)
    y, x = (int(d * (size - side + 1)) for d, size in zip(draw[1:3], total[1:3], strict=True))
    batch = to_floats(pictures.pixels[chosen, y : y + side, x : x + side])
    return batch.flip(-1) if draw[3] < 0.5 else batch, kind == 7


def vae_stage(vae: Any, pictures: Pictures, device: torch.device, count: int, folder: Path) -> Stage:
    """The stage that trains the autoencoder; it takes over pictures that are drawn meanwhile."""
    vae.to(device, memory_format=torch.channels_last).train()
    fit_norms(vae)

    def loss(chance: Chance, progress: float) -> tuple[torch.Tensor, Figures]:
        if not (pictures.folder / DONE).exists():
            pictures.take(at_most_every=12.0)
        x, halved = windows(pictures.some, chance, count)
        with half(device):
            mean, log_variance = vae.quant_conv(vae.encoder(x)).float().chunk(2, 1)
            log_variance = log_variance.clamp(-30, 20)
            z = mean + torch.exp(0.5 * log_variance) * chance.normal(*mean.shape)
            if halved:  # latents of half the side must mean the picture of half the side: eases the denoiser's work
                z, x = F.avg_pool2d(z, 2), F.avg_pool2d(x, 2)
            d = vae.decoder(vae.post_quant_conv(z)).float() - x
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        return reconstruction_loss(d) + KL_WEIGHT * kl, {"kl": kl, "mse": d.square().mean()}

    def export(means: dict[str, Any]) -> None:
        save_half({"vae_raw": means["vae"]}, folder)

    return Stage("vae", {"vae": vae}, loss, export, muon_rate=1.5e-3, adamw_rate=1e-3, decay=0.0, warmup=50)


def cut_windows(vae: Any, pictures: Some, chance: Chance, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents that are cut out of larger ones, as a denoiser's are, and the pictures (n, 3, side, side) they mean.

    An encoder sees the border of what it is given, and its latents say so; those in the middle of a picture don't.
    """
    total, draw = pictures.pixels.shape, chance.host.random(4)
    inside = 64 if draw[0] < 0.5 else SIDE
    number = count * 4 if inside == 64 else count
    outside = inside + 2 * MARGIN
    chosen = chance.below(total[0], number)
    y, x = (int(d * (size - outside + 1)) for d, size in zip(draw[1:3], total[1:3], strict=True))
    whole = to_floats(pictures.pixels[chosen, y : y + outside, x : x + outside])
    whole = whole.flip(-1) if draw[3] < 0.5 else whole
    with torch.no_grad():
        z = vae.quant_conv(vae.encoder(whole)).float().chunk(2, 1)[0]
    rim = MARGIN // FACTOR
    return z[..., rim:-rim, rim:-rim], whole[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def decoder_stage(
    vae: Any, pictures: Pictures, device: torch.device, count: int, folder: Path, rate: float = 5e-4
) -> Stage:
    """The stage that trains the decoder further while the encoder, and so every latent, stays as it is.

    Half of the latents are encoded as they are, and half are cut out of larger ones.
    """
    vae.to(device, memory_format=torch.channels_last).train().requires_grad_(False)
    fit_norms(vae)
    for part in (vae.post_quant_conv, vae.decoder):
        part.requires_grad_(True)

    def loss(chance: Chance, progress: float) -> tuple[torch.Tensor, Figures]:
        with half(device):
            if chance.host.random() < 0.5:
                z, x = cut_windows(vae, pictures.some, chance, count)
            else:
                x, halved = windows(pictures.some, chance, count)
                with torch.no_grad():
                    z = vae.quant_conv(vae.encoder(x)).float().chunk(2, 1)[0]
                if halved:
                    z, x = F.avg_pool2d(z, 2), F.avg_pool2d(x, 2)
            z = z + DECODER_NOISE * chance.normal(*z.shape)
            d = vae.decoder(vae.post_quant_conv(z)).float() - x
        return reconstruction_loss(d), {"mse": d.square().mean()}

    def export(means: dict[str, Any]) -> None:
        save_half({"vae": means["vae"]}, folder)

    return Stage("decoder", {"vae": vae}, loss, export, muon_rate=rate, adamw_rate=rate, decay=0.0, warmup=50)


def save_half(parts: dict[str, Any], folder: Path) -> None:
    """Write models in half precision, each whole or not at all, into folders of their names."""
    for name, part in parts.items():
        fresh, gone = folder / f"{name}.partial", folder / f"{name}.gone"
        for path in (fresh, gone):
            shutil.rmtree(path, ignore_errors=True)
        model = copy.deepcopy(part).half().cpu().to(memory_format=torch.contiguous_format)
        if hasattr(model, "register_to_config"):
            model.register_to_config(_name_or_path="")
        model.save_pretrained(fresh)
        for path in fresh.glob("*.safetensors"):
            path.chmod(0o644)
        if (folder / name).exists():
            os.replace(folder / name, gone)
        os.replace(fresh, folder / name)
        shutil.rmtree(gone, ignore_errors=True)


@torch.no_grad()
def encode(vae: Any, pixels: torch.Tensor, batch: int) -> torch.Tensor:
    """The latents (n, c, h/8, w/8) of pictures (n, h, w, 3), in single precision."""
    parts = [vae.encode(to_floats(part)).latent_dist.mean for part in pieces(pixels, batch)]
    return torch.cat(parts)


@torch.no_grad()
def psnr(vae: Any, pixels: torch.Tensor, batch: int = 32) -> float:
    """Mean PSNR in dB of pictures (n, h, w, 3) that are encoded and decoded."""
    values = []
    for part in pieces(pixels, batch):
        x = to_floats(part)
        y = vae.decode(vae.encode(x).latent_dist.mean).sample.clamp(-1, 1)
        values.append(-10 * torch.log10(((x - y) / 2).square().mean((1, 2, 3))))
    return float(torch.cat(values).mean())
