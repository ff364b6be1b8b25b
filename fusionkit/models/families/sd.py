"""Stable Diffusion 1 and 2: the prompt's embedding is all that a view is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit.models.families.base import ADAPTERS
from fusionkit.models.families.unets import UNetFamily


class Sd(UNetFamily):
    """`StableDiffusionPipeline`, and those of its kin that draw from a prompt alone."""

    kind, title = "sd", "Stable Diffusion 1 or 2"
    pipelines = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "LatentConsistencyModelPipeline")
    adapter = f"{ADAPTERS}.stable_diffusion:StableDiffusion"
    left_out = {
        "safety_checker": None,
        "requires_safety_checker": False,
        "feature_extractor": None,
        "image_encoder": None,
    }
    window = (512, 512)
    # Measured: 25 on small models, 29 on the architecture of SD 1.5.
    maps, parameters = 30, 1_290_000_000

    def guesses(self, config: Mapping[str, Any]) -> bool:
        """Any pipeline with a UNet that is told no crop."""
        return self.suits(config)
