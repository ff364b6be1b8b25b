"""Tiny models in the place of a bundled recipe's, and the recipe for them.

The steps, the scheduler and the plugins are the recipe's own; sizes are divided by what the tiny model's window is
smaller. LoRAs are left out: none fits a tiny model, and so is offloading, of which a CPU has none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fusionkit import Fusion, Plugin
from fusionkit.loop.misfits import is_hookimpl
from fusionkit.models.load import load_pipeline
from fusionkit.recipe import Recipe
from fusionkit.testing.tiny import tiny_pipeline
from fusionkit.testing.tiny_adapter import save_tiny_adapter

CHECKPOINTS = Path(__file__).parents[1] / "golden" / "checkpoints"
NET = CHECKPOINTS / "tiny-controlnet"
# By how much the tiny models' windows are smaller.
SMALLER = {"sd": 512 // 64, "sdxl": 1024 // 256}
# Tiny transformers by what is in a model's name: the module, the window of the large one, and that of the tiny one.
TRANSFORMERS = {"FLUX": "tiny_flux", "Qwen": "tiny_qwen_image", "Z-Image": "tiny_z_image", "3.5": "tiny_sd3"}
WINDOWS, WINDOW, TOKEN = {"tiny_qwen_image": 1328}, 128, 16
OF_THE_MODEL = {"model", "models", "base", "revision", "variant", "loras", "offload"}
IN_PIXELS = ("stride", "jitter", "first", "base")


@lru_cache
def tiny_xl() -> Any:
    """One whose denoiser has as many levels as SDXL's, where prompts for patches look."""
    import torch

    return load_pipeline(str(CHECKPOINTS / "tiny-sdxl"), "sdxl", dtype=torch.float32)


@lru_cache
def tiny_adapter(kind: Any) -> Path:
    """An IP-Adapter that fits the tiny model of a kind, in a folder that is gone when the process ends."""
    unet = (tiny_xl() if kind == "sdxl" else tiny_pipeline("sd")).unet
    folder = TemporaryDirectory()
    ADAPTERS.append(folder)
    return save_tiny_adapter(Path(folder.name), unet)


ADAPTERS: list[Any] = []


def scaled(plugin: Plugin, smaller: Callable[[int], int], photo: Path, kind: str) -> Plugin:
    """A plugin as it would be for a model of a smaller window; files that are the user's own are ours."""
    changes: dict[str, Any] = {}
    for name in IN_PIXELS:
        if value := getattr(plugin, name, None):
            changes[name] = tuple(map(smaller, value)) if isinstance(value, tuple) else smaller(value)
    if plugin.plugin_name == "controlnet":
        changes["model"] = str(NET)
    if plugin.plugin_name == "ip-adapter":
        changes |= {"adapter": str(tiny_adapter(kind)), "picture": photo, "weight_name": None, "encoder": None}
    if plugin.plugin_name == "sync-diffusion":
        changes["loss"] = "tinyworld"
    if getattr(plugin, "from_", None) is not None:
        changes["from_"] = photo
    if getattr(plugin, "mask", None) is not None:
        changes["mask"] = photo  # half of it is bright
    return type(plugin).model_validate({**dict(plugin), **changes})


def tiny(recipe: Recipe, photo: Path) -> tuple[Fusion, Recipe]:
    """Tiny models in place of a recipe's, and the recipe for them."""
    sources = {name: spec.model for name, spec in recipe.specs.items()}
    found = {name: _transformer(source) for name, source in sources.items()}
    fields = {name: getattr(recipe, name) for name in recipe.model_fields_set - OF_THE_MODEL}
    smaller: Callable[[int], int]
    kind: Any = "sdxl" if any("xl" in source for source in sources.values()) else "sd"
    if all(found.values()):
        large = max(WINDOWS.get(str(module), 1024) for module in found.values())
        pipes = {name: import_module(str(module)).CASES[0].make() for name, module in found.items()}
        fields["window"] = (WINDOW, WINDOW)
        smaller = lambda pixels: round(pixels * WINDOW / large / TOKEN) * TOKEN  # noqa: E731
    else:
        number = list(sources.values()).index
        pipes = {
            name: tiny_xl() if kind == "sdxl" else tiny_pipeline("sd", number(source))
            for name, source in sources.items()
        }
        smaller = lambda pixels: pixels // SMALLER[kind]  # noqa: E731
    if "size" in fields or not any(is_hookimpl(type(plugin), "default_size") for plugin in recipe.plugins):
        fields["size"] = tuple(map(smaller, recipe.size))
    fields["plugins"] = [scaled(plugin, smaller, photo, kind) for plugin in recipe.plugins]
    return Fusion.from_pipes(pipes), Recipe(**fields)


def _transformer(source: str) -> str | None:
    return next((module for part, module in TRANSFORMERS.items() if part in source), None)
