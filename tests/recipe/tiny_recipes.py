"""Tiny models in the place of a bundled recipe's, and the recipe for them.

The steps, the scheduler and the plugins are the recipe's own; sizes are divided by what the tiny model's window is
smaller. LoRAs are left out: none fits a tiny model.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from fusionkit import Fusion, Plugin
from fusionkit.models.load import load_pipeline
from fusionkit.recipe import Recipe
from fusionkit.testing.tiny import tiny_pipeline

CHECKPOINTS = Path(__file__).parents[1] / "golden" / "checkpoints"
NET = CHECKPOINTS / "tiny-controlnet"
# By how much the tiny models' windows are smaller.
SMALLER = {"sd": 512 // 64, "sdxl": 1024 // 256}
OF_THE_MODEL = {"model", "models", "revision", "variant", "loras"}
IN_PIXELS = ("stride", "jitter")


@lru_cache
def tiny_xl() -> Any:
    """One whose denoiser has as many levels as SDXL's, where prompts for patches look."""
    import torch

    return load_pipeline(str(CHECKPOINTS / "tiny-sdxl"), "sdxl", dtype=torch.float32)


def scaled(plugin: Plugin, factor: int, photo: Path) -> Plugin:
    """A plugin as it would be for a model whose window is so much smaller; files that are the user's own are ours."""
    changes: dict[str, Any] = {}
    for name in IN_PIXELS:
        if value := getattr(plugin, name, None):
            changes[name] = tuple(each // factor for each in value) if isinstance(value, tuple) else value // factor
    if plugin.plugin_name == "controlnet":
        changes["model"] = str(NET)
    if getattr(plugin, "from_", None) is not None:
        changes["from_"] = photo
    return type(plugin).model_validate({**dict(plugin), **changes})


def tiny(recipe: Recipe, photo: Path) -> tuple[Fusion, Recipe]:
    """Tiny models in place of a recipe's, and the recipe for them."""
    sources = [spec.model for spec in recipe.specs.values()]
    kind: Any = "sdxl" if any("xl" in source for source in sources) else "sd"
    factor = SMALLER[kind]
    width, height = recipe.size
    fields = {name: getattr(recipe, name) for name in recipe.model_fields_set - OF_THE_MODEL}
    fields["size"] = (width // factor, height // factor)
    fields["plugins"] = [scaled(plugin, factor, photo) for plugin in recipe.plugins]
    pipes = {
        name: tiny_xl() if kind == "sdxl" else tiny_pipeline("sd", sources.index(spec.model))
        for name, spec in recipe.specs.items()
    }
    return Fusion.from_pipes(pipes), Recipe(**fields)
