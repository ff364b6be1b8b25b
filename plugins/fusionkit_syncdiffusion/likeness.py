"""How unlike two pictures look, as a number that gradients go through: networks that are there, none is downloaded."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import ModelError
from fusionkit.evaluation.features import FEATURES
from fusionkit.evaluation.libraries import require
from fusionkit.trust import check_opening

if TYPE_CHECKING:
    import torch
    from torch import Tensor

AUTO = "auto"
FILE = ".safetensors"
TORCHMETRICS = {"torchmetrics": "fusionkit[metrics]"}


def network_of(loss: str, model: str) -> str:
    """Which network `loss` means: for `auto` the one of the embedded world that a model is of, and else none, "".

    Args:
        loss: "auto", the name of a feature network, or a file of weights of LPIPS.
        model: The model's name.
    """
    if loss != AUTO:
        return loss
    world = model.partition("/")[0]
    return world if world in FEATURES.entries else ""


def problems(loss: str, model: str) -> list[str]:
    """What can be said against it before the model loads."""
    name = network_of(loss, model)
    if not name:
        return [
            f"there is no network that judges how alike pictures of '{model}' look; give LPIPS as a file that is made "
            f"once, 'python -m fusionkit_syncdiffusion.lpips FILE{FILE}': loss: FILE{FILE}"
        ]
    if name.endswith(FILE):
        return (
            []
            if Path(name).is_file()
            else [f"loss: no such file '{name}'; it is made once: python -m fusionkit_syncdiffusion.lpips {name}"]
        )
    if name not in FEATURES.entries:
        return [f"loss '{name}' is no file of weights ({FILE}), and no feature network; there are: {_known()}"]
    if not hasattr(FEATURES.load(name), "layers"):
        return [f"loss '{name}': this network tells nothing that gradients go through; use one of: {_known()}"]
    return []


def _known() -> str:
    return ", ".join(name for name in FEATURES.entries if hasattr(FEATURES.load(name), "layers"))


def unlikeness(network: str, device: torch.device, pictures: Tensor, others: Tensor) -> Tensor:
    """How unlike pictures look, (n,): 0 where they are the same.

    Args:
        network: As `network_of` answers it.
        device: Where it computes.
        pictures: (n, 3, h, w), -1..1.
        others: The same of the others.

    Raises:
        ModelError: A file does not hold LPIPS, or a library is missing.
    """
    if network.endswith(FILE):
        found: Tensor = _lpips(network, str(device))(pictures, others).reshape(-1)
        return found
    from fusionkit_tinyworld.features import map_distance

    features = _features(network, str(device))
    return map_distance(features.layers(pictures), features.layers(others))


@lru_cache(maxsize=2)
def _features(name: str, device: str) -> Any:
    import torch

    with torch.inference_mode(False):
        return FEATURES.load(name).from_weights(None, device, download=False)


@lru_cache(maxsize=2)
def _lpips(file: str, device: str) -> Any:
    """LPIPS of torchmetrics (arXiv 1801.03924) with the weights of a file; which backbone it is, they tell."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    require("LPIPS", TORCHMETRICS)
    from torchmetrics.functional.image.lpips import _LPIPS

    check_opening(file, "weights of LPIPS")
    try:
        state = load_file(file)
        with torch.inference_mode(False):
            # Neither of torchmetrics' own files, which are pickles, is opened.
            net = "vgg" if any(name.startswith("net.slice5") for name in state) and len(state) > 25 else "alex"
            network = _LPIPS(pretrained=False, net=net, pnet_rand=True)  # type: ignore[arg-type]
            network.load_state_dict({name: value.clone() for name, value in state.items()})
    except (SafetensorError, RuntimeError, OSError) as error:
        raise ModelError(
            f"'{file}' does not hold LPIPS as 'python -m fusionkit_syncdiffusion.lpips' writes it"
        ) from error
    return network.to(device).eval().requires_grad_(False)
