"""Stable Diffusion XL: a view is told the prompt, in two forms, and where in the picture it lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit.models.families.base import ADAPTERS
from fusionkit.models.families.unets import UNetFamily


class Sdxl(UNetFamily):
    """`StableDiffusionXLPipeline`."""

    kind, title, pipelines = "sdxl", "Stable Diffusion XL", ("StableDiffusionXLPipeline",)
    adapter = f"{ADAPTERS}.stable_diffusion_xl:StableDiffusionXL"
    encoders = ("text_encoder", "text_encoder_2")
    # Some models do with their second text encoder.
    optional = frozenset({"text_encoder", "tokenizer"})
    left_out = {"add_watermarker": False, "feature_extractor": None, "image_encoder": None}
    crops, skipped = True, 1
    # Measured: 14 on a small model, whose first level has no attention.
    maps, parameters = 16, 3_470_000_000

    def guesses(self, config: Mapping[str, Any]) -> bool:
        """Any pipeline with a UNet that is told a crop."""
        return self.suits(config)
