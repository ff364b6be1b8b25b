"""A transformer with flow matching on the same latents (Flux's class), its text encoders, and their loss."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import nn

from fusionkit_vista.train.denoiser import DROPOUT
from fusionkit_vista.train.device import fit_norms, half, plain_attention
from fusionkit_vista.train.loop import Chance, Figures, Stage
from fusionkit_vista.train.text import POOLED, WIDTH, Captions, build_clip, build_t5
from fusionkit_vista.train.vae import save_half

HEADS, HEAD = 3, 48
LAYERS, SINGLE_LAYERS = 2, 6
PATCH = 2


def build_transformer(
    channels: int, heads: int = HEADS, head: int = HEAD, layers: tuple[int, int] = (LAYERS, SINGLE_LAYERS)
) -> Any:
    """An untrained transformer of latents in patches of 2x2."""
    rows = head // 8 * 3  # even, and the rest for the first axis, which a picture does not use
    transformer = import_module("diffusers").FluxTransformer2DModel(
        patch_size=1,
        in_channels=PATCH * PATCH * channels,
        out_channels=PATCH * PATCH * channels,
        num_layers=layers[0],
        num_single_layers=layers[1],
        attention_head_dim=head,
        num_attention_heads=heads,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=POOLED,
        guidance_embeds=False,
        axes_dims_rope=(head - 2 * rows, rows, rows),
    )
    initialise(transformer)
    return transformer


def initialise(model: nn.Module) -> None:
    """Xavier for linear layers; zero for every modulation and for the last layer (adaLN-zero, arXiv:2212.09748)."""
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        modulation = name.endswith(".linear") and "norm" in name.rsplit(".", 2)[-2]
        if modulation or name == "proj_out":
            nn.init.zeros_(module.weight)
        elif "timestep_embedder.linear" in name:
            nn.init.normal_(module.weight, std=0.02)
        else:
            nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def is_for_muon(name: str, weight: nn.Parameter) -> bool:
    """The matrices of the blocks, but for the modulations'."""
    return weight.ndim == 2 and "blocks." in name and "norm" not in name


def pack(x: torch.Tensor) -> torch.Tensor:
    """Latents (n, c, h, w) as tokens (n, h w / 4, 4 c), in Flux's order."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(n, h * w // 4, c * 4)


def unpack(tokens: torch.Tensor, h: int, w: int) -> torch.Tensor:
    """The latents of tokens, the reverse of `pack`."""
    n = len(tokens)
    return tokens.reshape(n, h // 2, w // 2, -1, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(n, -1, h, w)


class Flow:
    """Transformer and text encoders as one function of noisy latents, noise levels and tokens.

    Args:
        transformer: A `FluxTransformer2DModel`.
        clip: Gives the vector of the whole caption.
        t5: Gives one vector for each word.
    """

    def __init__(self, transformer: Any, clip: Any, t5: Any) -> None:
        self.transformer, self.clip, self.t5 = transformer, clip, t5

    def text(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The words (n, 20, 128) and the whole (n, 64) of tokens (n, 20)."""
        return self.t5(input_ids=tokens)[0], self.clip(tokens).pooler_output

    def velocity(self, x: torch.Tensor, sigma: torch.Tensor, words: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """Predicted noise minus clean latents, of x = (1 - sigma) clean + sigma noise (n, c, h, w)."""
        h, w = x.shape[-2:]
        rows = torch.arange(h // 2, device=x.device)
        columns = torch.arange(w // 2, device=x.device)
        grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
        ids = F.pad(grid, (1, 0)).float()
        out = self.transformer(
            hidden_states=pack(x),
            timestep=sigma,
            guidance=None,
            pooled_projections=pooled,
            encoder_hidden_states=words,
            txt_ids=ids.new_zeros(words.shape[1], 3),
            img_ids=ids,
            return_dict=False,
        )[0]
        return unpack(out, h, w)


def in_single_precision(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
    """A hook that gives a layer's output in float32."""
    return output.float()


def fitting_attention(device: torch.device) -> AbstractContextManager[object]:
    """On a CPU, within this context attention is written out; see `plain_attention`."""
    return patch.object(F, "scaled_dot_product_attention", plain_attention) if device.type == "cpu" else nullcontext()


def flow_stage(
    tokenizer: Any,
    latents: torch.Tensor,
    captions: list[str],
    device: torch.device,
    count: int,
    folder: Path,
    heads: int = HEADS,
    layers: tuple[int, int] = (LAYERS, SINGLE_LAYERS),
    muon_rate: float = 7e-3,
    adamw_rate: float = 1e-3,
) -> Stage:
    """The stage that trains transformer and text encoders on latents (n, c, 16, 16): rectified flow (arXiv:2209.03003).

    The noise levels are logit-normal (arXiv:2403.03206).
    """
    models = {
        "transformer": build_transformer(latents.shape[1], heads, HEAD, layers).to(device),
        "text_encoder": build_clip(tokenizer, POOLED, 1).to(device),
        "text_encoder_2": build_t5(tokenizer).to(device),
    }
    fit_norms(models["transformer"])
    # The transformer rounds the noise level to the precision of what comes out here. In bf16 it would learn a few
    # hundred levels, and not know those between them when it is used in float32.
    models["transformer"].x_embedder.register_forward_hook(in_single_precision)
    flow = Flow(*(model.train() for model in models.values()))
    words = Captions(tokenizer, captions, device)

    def loss(chance: Chance, progress: float) -> tuple[torch.Tensor, Figures]:
        chosen = chance.below(len(latents), count)
        clean, noise = latents[chosen].float(), chance.normal(count, *latents.shape[1:])
        tokens = words.of(chosen, chance.uniform(count) < DROPOUT)
        sigma = torch.sigmoid(torch.special.ndtri(chance.strata(count).clamp(1e-5, 1 - 1e-5)))
        level = sigma[:, None, None, None]
        with half(device), fitting_attention(device):
            predicted = flow.velocity((1 - level) * clean + level * noise, sigma, *flow.text(tokens))
        return (predicted.float() - (noise - clean)).square().mean(), {}

    def export(means: dict[str, Any]) -> None:
        save_half(means, folder)

    return Stage("flow", dict(models), loss, export, muon_rate, adamw_rate, takes_muon=is_for_muon, warmup=150)
