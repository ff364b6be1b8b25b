"""fusionkit fuses pretrained diffusion models, without training, into pictures none of them could make alone."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fusionkit.errors import (
    Cancelled,
    CanvasError,
    CheckpointError,
    FusionError,
    ModelError,
    NumericalError,
    OutOfMemory,
    PluginError,
    RecipeError,
    RecipeWarning,
)

if TYPE_CHECKING:
    from pydantic import Field

    from fusionkit.fusion import Fusion
    from fusionkit.keeping import RunMemory, StageCache, StageState
    from fusionkit.loop.canvas import WeightedMean, gather, scatter, view_noise, view_weights
    from fusionkit.loop.hookspecs import Wrapper, hookimpl
    from fusionkit.loop.model import LayerPatch, Model, ModelInfo
    from fusionkit.loop.partly import chosen, filled, spread
    from fusionkit.loop.ring import resized
    from fusionkit.loop.stage import Control, Fused, Masked, Patches, Prompt, Stage, StagePlan, Step, Told
    from fusionkit.loop.told import by_model, passes_of, scales_of
    from fusionkit.loop.views import View, covering, windows
    from fusionkit.models.enlarging import enlarged_by
    from fusionkit.models.networks import NetworkPath, network_problems
    from fusionkit.pictures.gallery import Gallery
    from fusionkit.pictures.map_pictures import below, beside, captioned
    from fusionkit.pictures.picture import PicturePath, open_picture, picture_problems
    from fusionkit.pictures.result import Result
    from fusionkit.plugin import Plugin
    from fusionkit.recipe.recipe import Recipe
    from fusionkit.runs.live import LivePreview

# Loaded when they are first asked for: `import fusionkit` must not wait for torch, nor `--help` for pydantic.
_LAZY = {
    "Control": "fusionkit.loop.stage",
    "Field": "pydantic",
    "Fused": "fusionkit.loop.stage",
    "Fusion": "fusionkit.fusion",
    "LayerPatch": "fusionkit.loop.model",
    "LivePreview": "fusionkit.runs.live",
    "Masked": "fusionkit.loop.stage",
    "Model": "fusionkit.loop.model",
    "ModelInfo": "fusionkit.loop.model",
    "NetworkPath": "fusionkit.models.networks",
    "Patches": "fusionkit.loop.stage",
    "PicturePath": "fusionkit.pictures.picture",
    "Plugin": "fusionkit.plugin",
    "Prompt": "fusionkit.loop.stage",
    "Recipe": "fusionkit.recipe.recipe",
    "Gallery": "fusionkit.pictures.gallery",
    "Result": "fusionkit.pictures.result",
    "RunMemory": "fusionkit.keeping",
    "Stage": "fusionkit.loop.stage",
    "StageCache": "fusionkit.keeping",
    "StagePlan": "fusionkit.loop.stage",
    "StageState": "fusionkit.keeping",
    "Step": "fusionkit.loop.stage",
    "Told": "fusionkit.loop.stage",
    "View": "fusionkit.loop.views",
    "WeightedMean": "fusionkit.loop.canvas",
    "below": "fusionkit.pictures.map_pictures",
    "beside": "fusionkit.pictures.map_pictures",
    "by_model": "fusionkit.loop.told",
    "captioned": "fusionkit.pictures.map_pictures",
    "chosen": "fusionkit.loop.partly",
    "covering": "fusionkit.loop.views",
    "enlarged_by": "fusionkit.models.enlarging",
    "filled": "fusionkit.loop.partly",
    "gather": "fusionkit.loop.canvas",
    "network_problems": "fusionkit.models.networks",
    "open_picture": "fusionkit.pictures.picture",
    "passes_of": "fusionkit.loop.told",
    "picture_problems": "fusionkit.pictures.picture",
    "resized": "fusionkit.loop.ring",
    "scales_of": "fusionkit.loop.told",
    "scatter": "fusionkit.loop.canvas",
    "spread": "fusionkit.loop.partly",
    "view_noise": "fusionkit.loop.canvas",
    "view_weights": "fusionkit.loop.canvas",
    "Wrapper": "fusionkit.loop.hookspecs",
    "hookimpl": "fusionkit.loop.hookspecs",
    "windows": "fusionkit.loop.views",
}

__all__ = [
    "Cancelled",
    "CanvasError",
    "CheckpointError",
    "Control",
    "Field",
    "Fused",
    "Fusion",
    "FusionError",
    "Gallery",
    "LayerPatch",
    "LivePreview",
    "Masked",
    "Model",
    "ModelError",
    "ModelInfo",
    "NetworkPath",
    "NumericalError",
    "OutOfMemory",
    "Patches",
    "PicturePath",
    "Plugin",
    "PluginError",
    "Prompt",
    "Recipe",
    "RecipeError",
    "RecipeWarning",
    "Result",
    "RunMemory",
    "Stage",
    "StageCache",
    "StagePlan",
    "StageState",
    "Step",
    "Told",
    "View",
    "WeightedMean",
    "Wrapper",
    "below",
    "beside",
    "by_model",
    "captioned",
    "chosen",
    "covering",
    "enlarged_by",
    "filled",
    "gather",
    "hookimpl",
    "network_problems",
    "open_picture",
    "passes_of",
    "picture_problems",
    "resized",
    "scales_of",
    "scatter",
    "spread",
    "view_noise",
    "view_weights",
    "windows",
]


if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name in _LAZY:
            return getattr(import_module(_LAZY[name]), name)
        raise AttributeError(f"module 'fusionkit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
