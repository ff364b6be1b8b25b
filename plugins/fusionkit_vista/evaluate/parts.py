"""The parts of the shipped model, and drawings after its autoencoder."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionkit.models.silence import quiet_loading
from fusionkit_vista.models import WEIGHTS
from fusionkit_vista.windows import MARGIN

_FACTOR = 8


@lru_cache(maxsize=1)
def autoencoder() -> Any:
    """The autoencoder as it ships, in single precision."""
    folder = WEIGHTS / "scenes" / "vae"
    with quiet_loading():
        return import_module("diffusers").AutoencoderKL.from_pretrained(folder, local_files_only=True).float().eval()


@torch.no_grad()
def encoded(pictures: NDArray[np.uint8], margin: int = MARGIN) -> torch.Tensor:
    """Latents (n, 16, h/8, w/8) of pictures (n, h + 2 margin, w + 2 margin, 3), cut out of those of the whole."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    z: torch.Tensor = autoencoder().encode(x).latent_dist.mean
    rim = margin // _FACTOR
    return z[..., rim : z.shape[-2] - rim, rim : z.shape[-1] - rim]


@torch.no_grad()
def decoded(latents: torch.Tensor) -> NDArray[np.uint8]:
    """Pictures (n, 8 h, 8 w, 3) of latents (n, 16, h, w)."""
    y: torch.Tensor = autoencoder().decode(latents).sample
    bytes_ = ((y.clamp(-1, 1) + 1) * 127.5).round().byte()
    return np.ascontiguousarray(bytes_.permute(0, 2, 3, 1).numpy())
