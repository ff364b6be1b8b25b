"""Stable Diffusion 1 and 2: the prompt's embedding is all that a view is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit.models.families.base import ADAPTERS
from fusionkit.models.families.in_file import VAE, InFile, Shapes
from fusionkit.models.families.unets import (
    BETAS,
    FIRST,
    TEXT,
    UNetFamily,
    fills_in_file,
    is_xl,
    unet_attention,
    whole_file,
)


class Sd(UNetFamily):
    """`StableDiffusionPipeline`, and those of its kin that draw from a prompt alone."""

    kind, title = "sd", "Stable Diffusion 1 or 2"
    pipelines = (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
        "LatentConsistencyModelPipeline",
    )
    adapter = f"{ADAPTERS}.stable_diffusion:StableDiffusion"
    left_out = {
        "safety_checker": None,
        "requires_safety_checker": False,
        "feature_extractor": None,
        "image_encoder": None,
    }
    in_file = InFile(
        (("input_blocks.0.0.weight", "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"),),
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        {"vae": VAE, "text_encoder": ("cond_stage_model.",)},
        (("in_channels", ("input_blocks.0.0.weight", 1)),),
    )
    window = (512, 512)
    # Measured: 25 on small models, 29 on the architecture of SD 1.5.
    maps, parameters = 30, 1_290_000_000

    def told_by_file(self, shapes: Shapes) -> Mapping[str, Any] | None:
        """1 or 2 by the width of a token; of 2, the models for 768 pixels, which predict v, unless it fills in."""
        if FIRST not in shapes or is_xl(shapes):
            return None
        width = shapes.get(TEXT, (0, 768))[-1]
        layers = 23 if width == 1024 else 12
        newer = width == 1024 and not fills_in_file(shapes)
        name, side = ("DDIMScheduler", 768) if newer else ("PNDMScheduler", 512)
        own = {"prediction_type": "v_prediction"} if newer else {"prediction_type": "epsilon", "skip_prk_steps": True}
        config = {**BETAS, "_class_name": name, **own}
        return {
            **whole_file(shapes, side, (320, 640, 1280, 1280), config, why=", which the file does not tell"),
            "cross_attention_dim": width,
            **unet_attention(
                (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"), ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3), 2, 1
            ),
            "scaling_factor": 0.18215,
            "most_clip_skip": layers,
        }
