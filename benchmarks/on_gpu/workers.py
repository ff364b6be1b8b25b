"""Two workers that share one GPU: whether they draw what one process does, and what the driver spends on a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import torch

from fusionkit import Fusion, Plugin
from fusionkit.models.silence import quiet_loading
from fusionkit.recipe.made import make_recipe
from on_gpu.measuring import PROMPT
from on_gpu.models import forget

WORKERS = 2


def lacking() -> str:
    """Why there can be no workers here; empty where there can."""
    if find_spec("fusionkit.distributed") is None:
        return "skipped: this fusionkit has no workers"
    return "" if find_spec("ray") else "skipped: ray is not installed; pip install 'fusionkit[ray]'"


def shared(pipe: Any, plugins: Sequence[Plugin], size: tuple[int, int], **fields: Any) -> dict[str, Any]:
    """One canvas by two workers of half a GPU each, and by this process alone, with equal batches.

    Args:
        pipe: The model, which is saved for the workers to load.
        plugins: As in a recipe.
        size: (width, height) in pixels.
        fields: Other fields of the recipe: `batch_size` and `steps` among them.

    Returns:
        `equal`, that the latents are, to the last bit; `seconds-a-step` of the workers, and `alone-a-step`;
        `driver-ms-a-call`, what this process' CPU spent for each of the `calls`, its part of the canvas with it. Or
        `failed`, why there are no workers here.

    Raises:
        ValueError: The latents differ.
    """
    if reason := lacking():
        return {"failed": reason}
    from fusionkit.distributed.ray_pool import RayPool

    device = pipe.unet.device
    on_gpu, dtype = device.type == "cuda", str(pipe.unet.dtype).removeprefix("torch.")
    with TemporaryDirectory() as folder:
        with quiet_loading():
            pipe.save_pretrained(folder)
        told: Mapping[str, Any] = {"model": folder, "prompt": PROMPT, "size": size, "dtype": dtype, "plugins": plugins}
        told = {**told, "scheduler": "ddim", "guidance_scale": 7.5, "device": device.type, **fields}
        latents, alone, _, _ = drawn(told)
        forget(device)
        with RayPool(WORKERS, device=device.type, gpus=1 / WORKERS if on_gpu else None) as pool:
            others, together, spent, calls = drawn(told, pool)
    if not others.equal(latents):
        differs = float((others - latents).abs().max())
        raise ValueError(f"two workers draw other latents than one process: by up to {differs:.3g}")
    return {
        "workers": WORKERS,
        "equal": True,
        "seconds-a-step": together,
        "alone-a-step": alone,
        "driver-ms-a-call": 1000 * spent / calls,
        "calls": calls,
        "dtype": dtype,
        "batch": told["batch_size"],
        "steps": told["steps"],
    }


def drawn(told: Mapping[str, Any], pool: Any = None) -> tuple[torch.Tensor, float, float, int]:
    """The latents, seconds a step, the CPU's seconds in this process, and the workers' calls, of a second run."""
    fusion = Fusion.from_recipe(make_recipe(**told), **({} if pool is None else {"pool": pool}))
    fusion(progress=False)  # loads, and chooses kernels
    given, worked = getattr(pool, "given", 0), process_time()
    result = fusion(progress=False)
    spent = process_time() - worked
    calls = getattr(pool, "given", 0) - given
    return result.latents.cpu(), result.denoising_seconds / int(told["steps"]), spent, calls
