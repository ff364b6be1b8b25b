"""What the tests on a GPU share: runs of tiny models, and how far two devices may differ."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from fusionkit import Fusion, Plugin

RUN = {"prompt": "a hill", "size": (160, 80), "scheduler": "ddim", "steps": 3, "guidance_scale": 3.0, "seed": 5}


def fusion(model: Path | dict[str, Any], device: str, plugins: Sequence[Plugin] = (), **fields: Any) -> Fusion:
    """A model on a device, ready to draw."""
    return Fusion.from_pretrained(model, plugins=plugins, device=device, **{"dtype": "float32", **RUN, **fields})


def latents(model: Path | dict[str, Any], device: str, plugins: Sequence[Plugin] = (), **fields: Any) -> Any:
    """The clean latents of a run, (1, C, H, W), float32 on the CPU."""
    return fusion(model, device, plugins, **fields)(progress=False).latents


def difference(ours: Any, theirs: Any) -> float:
    """How far two tensors are apart, in units of the second one's length; not a number where one holds none."""
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


def one_pass(unet: Any, dtype: Any) -> float:
    """How far rounding may move one answer of a denoiser, in units of its length.

    Each of the n modules that one after another make the answer rounds its result by at most half of the type's eps.
    The errors know nothing of each other, so that together they grow as the square root of n: eps/2 sqrt(n). Twice that
    is allowed, once for each device's own roundings, or for what normalisation layers magnify.
    """
    import torch

    modules = sum(not list(module.children()) for module in unet.modules())
    return float(torch.finfo(dtype).eps) * sqrt(modules)


def a_run(unet: Any, dtype: Any, *, guidance: float = RUN["guidance_scale"], steps: int = RUN["steps"]) -> float:
    """The same of a run's latents: each step's guided answer uncond + s (cond - uncond) errs by up to (2 s - 1) of it.

    Steps are affine in the answers, whose weights in the latents are about 1, and their errors add up.
    """
    return (2 * guidance - 1) * steps * one_pass(unet, dtype)
