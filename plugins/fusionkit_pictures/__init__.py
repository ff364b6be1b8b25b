"""Pictures that a run begins with, keeps or takes its colours from, as fusionkit plugins."""

from __future__ import annotations

from fusionkit_pictures.colour_match import ColourMatch
from fusionkit_pictures.exact_size import ExactSize
from fusionkit_pictures.image_to_image import ImageToImage
from fusionkit_pictures.inpaint import Inpaint
from fusionkit_pictures.photos import photo_recipe

__all__ = ["ColourMatch", "ExactSize", "ImageToImage", "Inpaint", "photo_recipe"]
