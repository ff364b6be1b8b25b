"""A tiny IP-Adapter with random weights, as files in the layout in which such adapters are published."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

TOKENS = 4
"""What a plain adapter makes of one picture."""

# Numbers of the tiny encoder's tokens, and of what it makes of a whole picture; pixels along a side of what it sees.
WIDTH, PROJECTED, SIDE = 24, 20, 32
_HEAD, _STD = 64, 0.4


def save_tiny_adapter(folder: Path, unet: Any, *, resampler: bool = False, seed: int = 0) -> Path:
    """Write an IP-Adapter that fits a UNet, with its encoder beside it in `image_encoder`; answers its file.

    Args:
        folder: Where to; made if it is not there.
        unet: The UNet of a pipeline, such as a tiny one's.
        resampler: Whether it looks at the encoder's own tokens, as those do that are called "plus".
        seed: Of the weights.
    """
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
        torch.manual_seed(seed)
        _encoder().save_pretrained(folder / "image_encoder")
        width = unet.config.cross_attention_dim
        tensors = {f"image_proj.{key}": each for key, each in (_resampler if resampler else _projection)(width).items()}
        for number, name in enumerate(unet.attn_processors):
            if name.endswith("attn2.processor"):
                features = unet.get_submodule(name.removesuffix(".processor")).to_q.in_features
                for half in "kv":
                    tensors[f"ip_adapter.{number}.to_{half}_ip.weight"] = _STD * torch.randn(features, width)
    path = folder / f"ip-adapter{'-plus' if resampler else ''}.safetensors"
    save_file(tensors, path)
    return path


def _encoder() -> Any:
    transformers: Any = import_module("transformers")

    return transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(
            hidden_size=WIDTH,
            intermediate_size=16,
            num_attention_heads=2,
            num_hidden_layers=2,
            projection_dim=PROJECTED,
            image_size=SIDE,
            patch_size=16,
        )
    ).eval()


def _projection(width: int) -> dict[str, Tensor]:
    import torch

    return {
        "proj.weight": torch.randn(TOKENS * width, PROJECTED),
        "proj.bias": _STD * torch.randn(TOKENS * width),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
    }


def _resampler(width: int) -> dict[str, Tensor]:
    import torch

    def linear(rows: int, columns: int) -> Tensor:
        return torch.randn(rows, columns) / float(columns**0.5)

    own = {
        "latents": torch.randn(1, 3, _HEAD),
        "proj_in.weight": linear(_HEAD, WIDTH),
        "proj_in.bias": torch.zeros(_HEAD),
        "proj_out.weight": linear(width, _HEAD),
        "proj_out.bias": torch.zeros(width),
        "norm_out.weight": torch.ones(width),
        "norm_out.bias": torch.zeros(width),
    }
    # As many layers as the published ones have: diffusers looks for no others.
    for layer in range(4):
        attention, forward = f"layers.{layer}.0.", f"layers.{layer}.1."
        own |= {
            f"{attention}to_q.weight": linear(_HEAD, _HEAD),
            f"{attention}to_kv.weight": linear(2 * _HEAD, _HEAD),
            f"{attention}to_out.weight": linear(_HEAD, _HEAD),
            f"{forward}1.weight": linear(4 * _HEAD, _HEAD),
            f"{forward}3.weight": linear(_HEAD, 4 * _HEAD),
        }
        norms = (f"{attention}norm1", f"{attention}norm2", f"{forward}0")
        fills = {"weight": torch.ones, "bias": torch.zeros}
        own |= {f"{norm}.{part}": fill(_HEAD) for norm in norms for part, fill in fills.items()}
    return own
