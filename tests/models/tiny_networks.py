"""Super-resolution networks with a few random weights, as files: real architectures of spandrel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from fusionkit.testing import tiny_network


def compact(path: Path, scale: int = 2, **weights: Any) -> Path:
    """A RealESRGAN Compact, some of its weights others."""
    save_file({**load_file(tiny_network(path, scale)), **weights}, path)
    return path


def grey(path: Path) -> Path:
    """One for pictures without colours."""
    from spandrel.architectures.Compact import Compact

    save_file(Compact(num_in_ch=1, num_out_ch=1, num_feat=4, num_conv=2, upscale=2).state_dict(), path)
    return path


def span(path: Path, scale: int = 4) -> Path:
    """A SPAN of few features."""
    from spandrel.architectures.SPAN import SPAN

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=scale)
    save_file({name: tensor.detach().clone() for name, tensor in network.state_dict().items()}, path)
    return path
