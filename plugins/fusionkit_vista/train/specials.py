"""What is trained on the finished denoiser: an expert's LoRA, and a ControlNet of edges."""

from __future__ import annotations

import copy
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from fusionkit_vista.train.denoiser import DROPOUT, Noising, attend_plainly
from fusionkit_vista.train.device import fit_norms, half
from fusionkit_vista.train.lessons import Lessons
from fusionkit_vista.train.loop import Chance, Figures, Stage
from fusionkit_vista.train.optimizer import is_for_muon
from fusionkit_vista.train.text import Captions
from fusionkit_vista.train.vae import save_half

RANK = 32
TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2")
"""Names of the denoiser's layers that get a LoRA."""
HARD, HARD_FROM, HARD_SHARE = "dragon", 0.2, 0.75
"""What an expert learns slowest; from this part of its training on, this share of the lessons name it."""
LORA = "pytorch_lora_weights.safetensors"
HINT_CHANNELS = (16, 24, 32, 48)
HINT_DROPOUT = 0.3
"""More captions are dropped than in the denoiser's training, so that the net reads the hint."""
HALVED = 0.5
"""The share of the hints that are those of the picture at half the size, as in upscaling by stages."""


def add_lora(unet: Any) -> None:
    """Put an untrained LoRA (arXiv:2106.09685) on a denoiser; nothing else of it learns from then on."""
    unet.requires_grad_(False)
    config = import_module("peft").LoraConfig(
        r=RANK, lora_alpha=RANK, target_modules=list(TARGETS), init_lora_weights="gaussian"
    )
    unet.add_adapter(config)


def save_lora(unet: Any, folder: Path) -> None:
    """Write a denoiser's LoRA in half precision, as diffusers loads it, whole or not at all."""
    state = import_module("peft").utils.get_peft_model_state_dict(unet)
    layers = {name: value.detach().half().cpu().contiguous() for name, value in state.items()}
    partial = folder.with_suffix(".partial")
    import_module("diffusers").StableDiffusionPipeline.save_lora_weights(partial, unet_lora_layers=layers)
    (partial / LORA).chmod(0o644)
    folder.mkdir(parents=True, exist_ok=True)
    os.replace(partial / LORA, folder / LORA)
    partial.rmdir()


def _muon_of_lora(name: str, weight: Any) -> bool:
    """All but what leads into attention and out of it."""
    return is_for_muon(name, weight) and "proj_in" not in name and "proj_out" not in name


def expert_stage(
    unet: Any,
    text_encoder: Any,
    tokenizer: Any,
    known: Lessons,
    device: torch.device,
    count: int,
    folder: Path,
) -> Stage:
    """The stage that trains an expert's LoRA; the text encoder stays as it is.

    All timesteps count alike, other than in the denoiser's training: whether and where a new thing is drawn is decided
    at the noisy ones.
    """
    unet.to(device, memory_format=torch.channels_last).train()
    add_lora(unet)
    fit_norms(unet)
    attend_plainly(unet, device)
    text_encoder.to(device).requires_grad_(False)
    words, noising = Captions(tokenizer, known.captions, device), Noising(device)
    hard = torch.tensor([i for i, text in enumerate(known.captions) if HARD in text], device=device, dtype=torch.long)

    def choose(chance: Chance, progress: float) -> torch.Tensor:
        chosen = chance.below(len(known.latents), count)
        if progress < HARD_FROM or not len(hard):
            return chosen
        return torch.where(chance.uniform(count) < HARD_SHARE, hard[chance.below(len(hard), count)], chosen)

    def loss(chance: Chance, progress: float) -> tuple[torch.Tensor, Figures]:
        chosen = choose(chance, progress)
        noisy, velocity, t = noising.batch(known.latents[chosen].float(), chance)
        tokens = words.of(chosen, chance.uniform(count) < DROPOUT)
        with half(device):
            predicted = unet(noisy, t, text_encoder(tokens).last_hidden_state, return_dict=False)[0]
        figures = noising.loss(predicted, velocity, t)[1]
        return figures["mse"], figures

    def export(means: dict[str, Any]) -> None:
        save_lora(means["unet"], folder / "lora")

    rates = 1.5e-3, 2e-3
    return Stage("expert", {"unet": unet}, loss, export, *rates, takes_muon=_muon_of_lora, warmup=30)


def build_controlnet(unet: Any) -> Any:
    """A ControlNet (arXiv:2302.05543) that starts as a copy of the denoiser's first half and adds nothing yet."""
    return import_module("diffusers").ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=HINT_CHANNELS)


def controlnet_stage(
    unet: Any,
    text_encoder: Any,
    tokenizer: Any,
    known: Lessons,
    device: torch.device,
    count: int,
    folder: Path,
) -> Stage:
    """The stage that trains a ControlNet on lessons with hints."""
    latents, hints = known.latents, known.hints
    if hints is None:
        raise ValueError("a ControlNet learns from lessons with hints")
    controlnet = build_controlnet(unet).to(device, memory_format=torch.channels_last).train()
    unet.to(device, memory_format=torch.channels_last).requires_grad_(False)
    for model in (controlnet, unet):
        fit_norms(model)
        attend_plainly(model, device)
    text_encoder.to(device).requires_grad_(False)
    words, noising = Captions(tokenizer, known.captions, device), Noising(device)

    def loss(chance: Chance, progress: float) -> tuple[torch.Tensor, Figures]:
        chosen = chance.below(len(latents), count)
        noisy, velocity, t = noising.batch(latents[chosen].float(), chance)
        tokens = words.of(chosen, chance.uniform(count) < HINT_DROPOUT)
        kind = (chance.uniform(count) < HALVED).long()
        hint = hints[chosen, kind][:, None].float().div(255).expand(-1, 3, -1, -1)
        with half(device):
            context = text_encoder(tokens).last_hidden_state
            down, middle = controlnet(noisy, t, context, hint, return_dict=False)
            residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
            predicted = unet(noisy, t, context, **residuals, return_dict=False)[0]
        return noising.loss(predicted, velocity, t)

    def export(means: dict[str, Any]) -> None:
        save_half({"controlnet": copy.deepcopy(means["controlnet"])}, folder)

    return Stage("controlnet", {"controlnet": controlnet}, loss, export, muon_rate=1.5e-3, adamw_rate=1e-3, warmup=40)
