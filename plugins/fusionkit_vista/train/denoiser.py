"""The denoiser and its text encoder: their shapes, the noise schedule, and the loss that they learn from together."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from fusionkit_vista.train.device import fit_norms, half
from fusionkit_vista.train.loop import Chance, Figures, Stage
from fusionkit_vista.train.text import WIDTH, Captions, build_clip
from fusionkit_vista.train.vae import save_half

WIDTHS = (64, 112, 112)
HEADS = (4, 7, 7)
"""Of 16 channels each, which the fast kernels of attention take."""
SIDE = 16
RATE = 1.5e-3
DROPOUT = 0.1
GAMMA = 5.0
REST = 0.1
"""Weight of the loss that keeps what a caption says out of the tokens behind its words."""
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
}


def build_unet(channels: int, widths: tuple[int, ...] = WIDTHS) -> Any:
    """An untrained denoiser of 16x16 latents, with cross-attention at 16x16, 8x8 and in the middle."""
    count = len(widths)
    return import_module("diffusers").UNet2DConditionModel(
        sample_size=SIDE,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=widths,
        down_block_types=("CrossAttnDownBlock2D",) * (count - 1) + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (count - 1),
        cross_attention_dim=WIDTH,
        attention_head_dim=HEADS[:count],
        norm_num_groups=16,
    )


def build_scheduler() -> Any:
    """The noise schedule, Stable Diffusion's with v-prediction, and DDIM as the sampler.

    The steps begin at the last timestep (arXiv:2305.08891, section 3.3): from a lower one on, much of what is in the
    weather is missed.
    """
    return import_module("diffusers").DDIMScheduler(
        **SCHEDULE, clip_sample=False, set_alpha_to_one=False, steps_offset=1, timestep_spacing="trailing"
    )


def attend_plainly(unet: Any, device: torch.device) -> None:
    """On a CPU, write the attention out: torch's kernel is slow there on its way back."""
    if device.type == "cpu":
        unet.set_attn_processor(import_module("diffusers.models.attention_processor").AttnProcessor())


class Noising:
    """Latents noised to timesteps at random, and the loss of predicting the velocity of the diffusion.

    v-prediction (arXiv:2202.00512) with min-SNR-5 weights (arXiv:2303.09556).

    Args:
        device: Where the models learn.
    """

    def __init__(self, device: torch.device) -> None:
        self.alphas = build_scheduler().alphas_cumprod.to(device)
        snr = self.alphas / (1 - self.alphas)
        self.weights = snr.clamp(max=GAMMA) / (snr + 1)

    def batch(self, clean: torch.Tensor, chance: Chance) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Noisy latents, the velocity and the timesteps (n,) of clean latents (n, c, h, w)."""
        t = (chance.strata(len(clean)) * len(self.alphas)).long().clamp(max=len(self.alphas) - 1)
        noise, alpha = chance.normal(*clean.shape), self.alphas[t][:, None, None, None]
        signal, spread = alpha.sqrt(), (1 - alpha).sqrt()
        return signal * clean + spread * noise, signal * noise - spread * clean, t

    def loss(self, predicted: torch.Tensor, velocity: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, Figures]:
        """The weighted error of a batch, and the plain one for the log."""
        errors = (predicted.float() - velocity).square().mean((1, 2, 3))
        return (errors * self.weights[t]).mean(), {"mse": errors.mean()}


def words_alone(context: torch.Tensor, tokens: torch.Tensor, empty: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Put the vectors of the empty caption behind the words of others.

    Args:
        context: The text encoder's vectors (n + 1, l, d) of n captions and the empty one.
        tokens: Of the n captions (n, l).
        empty: The tokens (l,) of the empty caption.

    Returns:
        The vectors (n, l, d), and the mean square of how far those that were replaced are from what replaced them.
    """
    given, rest = context[:-1].float(), context[-1:].float()
    is_rest = (tokens == empty[-1])[..., None]
    away = (given - rest).square() * is_rest
    mean = away.sum() / (is_rest.sum().clamp(min=1) * given.shape[-1])
    return torch.where(is_rest, rest, given), mean


def denoiser_stage(
    tokenizer: Any,
    latents: torch.Tensor,
    captions: list[str],
    device: torch.device,
    count: int,
    folder: Path,
    widths: tuple[int, ...] = WIDTHS,
    rate: float = RATE,
    grounded: bool = False,
) -> Stage:
    """The stage that trains denoiser and text encoder together on latents (n, c, 16, 16), `count` a step.

    `rate` is Muon's highest one; AdamW's is two thirds of it.

    If `grounded`, the denoiser sees behind the words of a caption what stands there of the empty one, and the text
    encoder learns to put just that there. Else the last token, which has read all the others, comes to say everything,
    and attention to a word does not tell where its thing is.
    """
    unet, text_encoder = build_unet(latents.shape[1], widths), build_clip(tokenizer).to(device)
    unet.to(device, memory_format=torch.channels_last)
    fit_norms(unet)
    attend_plainly(unet, device)
    words, noising = Captions(tokenizer, captions, device), Noising(device)

    def loss(chance: Chance, progress: float) -> tuple[torch.Tensor, Figures]:
        chosen = chance.below(len(latents), count)
        noisy, velocity, t = noising.batch(latents[chosen].float(), chance)
        tokens = words.of(chosen, chance.uniform(count) < DROPOUT)
        with half(device):
            if grounded:
                context = text_encoder(torch.cat([tokens, words.empty[None]])).last_hidden_state
                context, rest = words_alone(context, tokens, words.empty)
            else:
                context, rest = text_encoder(tokens).last_hidden_state, None
            predicted = unet(noisy, t, context, return_dict=False)[0]
        error, figures = noising.loss(predicted, velocity, t)
        return (error, figures) if rest is None else (error + REST * rest, {**figures, "rest": rest})

    def export(means: dict[str, Any]) -> None:
        save_half(means, folder)

    models = {"unet": unet.train(), "text_encoder": text_encoder.train()}
    return Stage("denoiser", models, loss, export, rate, rate * 2 / 3)
