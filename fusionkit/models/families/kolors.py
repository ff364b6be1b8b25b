"""Kolors: SDXL's U-Net and latents, and a language model of six billion weights for English and Chinese prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit.models.families.base import ADAPTERS
from fusionkit.models.families.unets import UNetFamily

_PACKAGE = "diffusers.pipelines.kolors"


class Kolors(UNetFamily):
    """`KolorsPipeline`."""

    kind, title, pipelines = "kolors", "Kolors", ("KolorsPipeline",)
    adapter = f"{ADAPTERS}.kolors:Kolors"
    brings = {f"kolors.{name}": f"{_PACKAGE}:{name}" for name in ("ChatGLMModel", "ChatGLMTokenizer")}
    needs = {"sentencepiece": "fusionkit[kolors]"}
    left_out = {"feature_extractor": None, "image_encoder": None}
    widths = {"encoder_hid_dim": "text_encoder"}
    reads = {"tokenizer": 256}
    window = (1024, 1024)
    defaults = {"guidance-scale": 5.0, "steps": 50}
    crops = projects = True
    # SDXL's.
    maps, parameters = 16, 8_900_000_000

    def pooled(self, encoders: Mapping[str, Any]) -> int:
        """The language model's answer to the last token."""
        encoder = encoders.get("text_encoder")
        return encoder.width if encoder is not None else 0
