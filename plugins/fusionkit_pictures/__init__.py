"""Pictures that a run begins with, keeps or takes its colours from, as fusionkit plugins."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionkit_pictures.colour_match import ColourMatch
    from fusionkit_pictures.exact_size import ExactSize
    from fusionkit_pictures.image_to_image import ImageToImage
    from fusionkit_pictures.inpaint import Inpaint
    from fusionkit_pictures.photos.recipes import photo_recipe

# Loaded when they are first asked for: the help of `fusionkit upscale` must not wait for pydantic.
_LAZY = {
    "ColourMatch": "fusionkit_pictures.colour_match",
    "ExactSize": "fusionkit_pictures.exact_size",
    "ImageToImage": "fusionkit_pictures.image_to_image",
    "Inpaint": "fusionkit_pictures.inpaint",
    "photo_recipe": "fusionkit_pictures.photos.recipes",
}

__all__ = ["ColourMatch", "ExactSize", "ImageToImage", "Inpaint", "photo_recipe"]


if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name in _LAZY:
            return getattr(import_module(_LAZY[name]), name)
        raise AttributeError(f"module 'fusionkit_pictures' has no attribute '{name}'")
