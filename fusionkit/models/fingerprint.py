"""What tells the weights of a loaded pipeline from others, in a moment."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from fusionkit.models.files.folder import STEMS


def fingerprint(pipe: Any) -> str:
    """A hash of a few numbers of each of a pipeline's tensors, with its type; LoRAs count.

    Models that differ do so almost everywhere. Empty where weights are elsewhere than in the model, as under sequential
    offload.
    """
    found = hashlib.sha256()
    for name in STEMS:
        part = getattr(pipe, name, None)
        tensors = list(part.parameters()) if part is not None else []
        if any(tensor.is_meta for tensor in tensors):
            return ""
        with torch.inference_mode():
            few = [tensor.detach().flatten()[_places(tensor.numel())] for tensor in tensors if tensor.numel()]
            numbers = torch.cat([each.double() for each in few]).cpu() if few else torch.zeros(0)
        told = [(tuple(tensor.shape), str(tensor.dtype)) for tensor in tensors]
        found.update(f"{name} {told}".encode() + numbers.numpy().tobytes())
    return found.hexdigest()


def _places(count: int) -> list[int]:
    return [0, count // 3, count // 2, count - 1]
