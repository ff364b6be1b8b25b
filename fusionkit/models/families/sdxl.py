"""Stable Diffusion XL: a view is told the prompt, in two forms, and where in the picture it lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit.models.families.base import ADAPTERS
from fusionkit.models.families.in_file import VAE, InFile, Shapes
from fusionkit.models.families.unets import BETAS, FIRST, UNetFamily, is_xl, unet_attention, whole_file

# Marks of models that were trained from SDXL: EDM's statistics, and empty tensors.
_EDM, _EDM_V, _V, _ZERO_SNR = "edm_mean", "edm_vpred.sigma_max", "v_pred", "ztsnr"


class Sdxl(UNetFamily):
    """`StableDiffusionXLPipeline`, and the one of models that fill in masked parts."""

    kind, title = "sdxl", "Stable Diffusion XL"
    pipelines = ("StableDiffusionXLPipeline", "StableDiffusionXLInpaintPipeline")
    adapter = f"{ADAPTERS}.stable_diffusion_xl:StableDiffusionXL"
    encoders = ("text_encoder", "text_encoder_2")
    # Some models do with their second text encoder.
    optional = frozenset({"text_encoder", "tokenizer"})
    left_out = {"add_watermarker": False, "feature_extractor": None, "image_encoder": None}
    in_file = InFile(
        (("input_blocks.0.0.weight", "label_emb.0.0.weight"),),
        "stabilityai/stable-diffusion-xl-base-1.0",
        {"vae": VAE, "text_encoder": ("conditioner.embedders.0.",), "text_encoder_2": ("conditioner.embedders.1.",)},
        (("in_channels", ("input_blocks.0.0.weight", 1)),),
    )
    crops, skipped = True, 1
    # Measured: 14 on a small model, whose first level has no attention.
    maps, parameters = 16, 3_470_000_000

    def pooled(self, encoders: Mapping[str, Any]) -> int:
        """Of the second text encoder."""
        last = encoders.get("text_encoder_2")
        return (last.projection_dim or 0) if last is not None else 0

    def told_by_file(self, shapes: Shapes) -> Mapping[str, Any] | None:
        """Plain, or by the marks of those that were trained from it."""
        if FIRST not in shapes or not is_xl(shapes):
            return None
        why = f" by the file's mark '{_V}'" if _V in shapes else ""
        return {
            **whole_file(shapes, 1024, (320, 640, 1280), _scheduler(shapes), why=why),
            "cross_attention_dim": 2048,
            **unet_attention(
                ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
                (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
                2,
                (1, 2, 10),
            ),
            # An EDM model scales by tensors, of which the header tells the shapes alone.
            "scaling_factor": 0.0 if _EDM in shapes else 0.13025,
            "most_clip_skip": 11,
        }


def _scheduler(shapes: Shapes) -> dict[str, Any]:
    """Its configuration, as far as the marks tell."""
    if _EDM in shapes:
        return {**BETAS, "_class_name": "EDMDPMSolverMultistepScheduler", "prediction_type": "epsilon"}
    if _EDM_V in shapes:
        # As its authors trained CosXL; the file's own tensors of this name tell the same.
        sigmas = {"sigma_schedule": "exponential", "sigma_min": 0.002, "sigma_max": 120.0, "sigma_data": 1.0}
        return {"_class_name": "EDMEulerScheduler", "prediction_type": "v_prediction", **sigmas}
    own = {"_class_name": "EulerDiscreteScheduler", "prediction_type": "v_prediction" if _V in shapes else "epsilon"}
    return {**BETAS, **own, **({"rescale_betas_zero_snr": True} if _ZERO_SNR in shapes else {})}
