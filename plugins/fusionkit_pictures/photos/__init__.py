"""Photos enlarged: the recipe of one, from Python and by `fusionkit upscale`."""

from __future__ import annotations

from fusionkit_pictures.photos.recipes import photo_recipe

__all__ = ["photo_recipe"]
