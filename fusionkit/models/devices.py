"""Where a model computes, and in which type of number."""

from __future__ import annotations

import platform
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.errors import RecipeError

if TYPE_CHECKING:
    import torch

    from fusionkit.recipe.recipe import Recipe


def pick_device(asked: str) -> torch.device:
    """The device of that name; `auto` is the first of cuda, xpu, mps and the CPU that is there.

    Raises:
        RecipeError: It is not there.
    """
    import torch

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    xpu = torch.xpu.device_count() if torch.xpu.is_available() else 0
    there = [f"cuda:{number}" for number in range(cuda)] + [f"xpu:{number}" for number in range(xpu)]
    there += ["mps", "cpu"] if torch.backends.mps.is_available() else ["cpu"]
    if asked == "auto":
        return torch.device(there[0].partition(":")[0])
    if asked not in there and f"{asked}:0" not in there:
        raise RecipeError([f"device '{asked}' is not there; this machine has: {', '.join(there)}"])
    return torch.device(asked)


def devices_of(recipe: Recipe) -> list[str]:
    """Where a recipe computes, as it names devices; the canvas is on the first."""
    return list(recipe.devices) if recipe.devices else [recipe.device]


def pick_dtype(asked: str, device: torch.device, half: str = "float16") -> torch.dtype:
    """The type of that name; `auto` is the model's type of 16 bits on cuda and xpu, and float32 elsewhere."""
    import torch

    name = (half if device.type in ("cuda", "xpu") else "float32") if asked == "auto" else asked
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def device_name(device: torch.device) -> str:
    """What a device is called by its maker: of the CPU the processor's name, as far as the system tells it."""
    import torch

    if device.type in ("cuda", "xpu"):
        return str(getattr(torch, device.type).get_device_name(device))
    return _processor() if device.type == "cpu" else str(device)


def _processor() -> str:
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine() or "cpu"
