"""A tiny super-resolution network with random weights, as the file that a recipe names."""

from __future__ import annotations

from pathlib import Path


def tiny_network(path: Path, scale: int = 2, seed: int = 0) -> Path:
    """Write a RealESRGAN Compact of four convolutions, which sees 4 pixels around each, and answer its path.

    It makes each pixel a square, and adds something of its own. Needs spandrel: `pip install 'fusionkit[upscale]'`.

    Args:
        path: Where to: a name that ends in `.safetensors`.
        scale: How many times wider and higher it makes pictures.
        seed: Of the weights.
    """
    import torch
    from safetensors.torch import save_file
    from spandrel.architectures.Compact import Compact

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Compact(num_feat=4, num_conv=2, upscale=scale)
    save_file({name: tensor.detach().clone() for name, tensor in network.state_dict().items()}, path)
    return path
