"""fusionkit fuses pretrained diffusion models, without training, into pictures none of them could make alone."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fusionkit.errors import (
    Cancelled,
    CanvasError,
    FusionError,
    ModelError,
    NumericalError,
    OutOfMemory,
    PluginError,
    RecipeError,
)
from fusionkit.hookspecs import hookimpl

if TYPE_CHECKING:
    from pydantic import Field

    from fusionkit.fusion import Fusion, Result
    from fusionkit.plugin import Plugin
    from fusionkit.recipe import Recipe
    from fusionkit.stage import Fused, Patches, Prompt, Stage, StagePlan, Step
    from fusionkit.views import View, windows

# Loaded when they are first asked for: `import fusionkit` must not wait for torch, nor `--help` for pydantic.
_LAZY = {
    "Field": "pydantic",
    "Fused": "fusionkit.stage",
    "Fusion": "fusionkit.fusion",
    "Patches": "fusionkit.stage",
    "Plugin": "fusionkit.plugin",
    "Prompt": "fusionkit.stage",
    "Recipe": "fusionkit.recipe",
    "Result": "fusionkit.fusion",
    "Stage": "fusionkit.stage",
    "StagePlan": "fusionkit.stage",
    "Step": "fusionkit.stage",
    "View": "fusionkit.views",
    "windows": "fusionkit.views",
}

__all__ = [
    "Cancelled",
    "CanvasError",
    "Field",
    "Fused",
    "Fusion",
    "FusionError",
    "ModelError",
    "NumericalError",
    "OutOfMemory",
    "Patches",
    "Plugin",
    "PluginError",
    "Prompt",
    "Recipe",
    "RecipeError",
    "Result",
    "Stage",
    "StagePlan",
    "Step",
    "View",
    "hookimpl",
    "windows",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'fusionkit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
