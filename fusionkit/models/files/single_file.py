"""What a single `.safetensors` file holds, from its header alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from fusionkit.errors import ModelError
from fusionkit.loop.model import ModelInfo
from fusionkit.models.files.weights import Shapes, read_header

_DENOISER = "model.diffusion_model."
_IN = f"{_DENOISER}input_blocks.0.0.weight"
_TEXT = f"{_DENOISER}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
_XL = "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias"
_REFINER = "conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias"
_EDM = "edm_mean"
_EDM_V = "edm_vpred.sigma_max"
# Marks of fine-tuned SDXL models: empty tensors of these names.
_V, _ZERO_SNR = "v_pred", "ztsnr"
# Of the VAEs of Stable Diffusion 1 and 2, and of SDXL.
_SCALING = {"sd": 0.18215, "sdxl": 0.13025}
_BETAS = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "clip_sample": False,
    "set_alpha_to_one": False,
}


def inspect_header(source: str, path: Path) -> ModelInfo:
    """What a checkpoint in the original layout of Stable Diffusion 1, 2 or XL is, by its keys and shapes.

    A header does not tell all: the size that the model was trained at, and an SD 2 model's prediction type.
    'v_prediction' is taken, as diffusers does, of the 768-pixel models; a recipe for a 512-pixel "base" model says
    `scheduler: {ddim: {prediction-type: epsilon}}`. What was taken is told in the notes, with the key that changes it.

    Raises:
        ModelError: It is no such checkpoint.
    """
    shapes = read_header(path, f"model '{source}'")
    if _IN not in shapes:
        what = "the UNet alone" if "conv_in.weight" in shapes else "no Stable Diffusion checkpoint"
        raise ModelError(f"model '{source}' is {what}; a single file must be a whole SD 1, 2 or XL checkpoint")
    if _REFINER in shapes:
        raise ModelError(f"model '{source}' is an SDXL refiner, which can't draw a picture of its own")
    text = shapes.get(_TEXT, (0, 768))
    if len(shapes[_IN]) != 4 or not text:
        raise ModelError(f"model '{source}' is no Stable Diffusion checkpoint: its first layers have other shapes")
    channels = shapes[_IN][1]
    if channels != 4:
        raise ModelError(
            f"model '{source}' takes {channels} channels, not 4: inpainting, editing and upscaling models can't be used"
        )
    if _EDM in shapes:
        config = {**_BETAS, "_class_name": "EDMDPMSolverMultistepScheduler", "prediction_type": "epsilon"}
        kind, size = "sdxl", 1024
    elif _EDM_V in shapes:
        # As its authors trained CosXL; the file's own tensors of this name tell the same.
        config = {
            "_class_name": "EDMEulerScheduler",
            "prediction_type": "v_prediction",
            "sigma_schedule": "exponential",
        }
        config |= {"sigma_min": 0.002, "sigma_max": 120.0, "sigma_data": 1.0}
        kind, size = "sdxl", 1024
    elif _XL in shapes:
        config = {**_BETAS, "_class_name": "EulerDiscreteScheduler", "prediction_type": _xl_prediction(shapes)}
        if _ZERO_SNR in shapes:
            config["rescale_betas_zero_snr"] = True
        kind, size = "sdxl", 1024
    elif text[-1] == 1024:
        config = {**_BETAS, "_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}
        kind, size = "sd", 768
    else:
        config = {**_BETAS, "_class_name": "PNDMScheduler", "prediction_type": "epsilon", "skip_prk_steps": True}
        kind, size = "sd", 512
    return ModelInfo(
        name=source,
        kind=kind,
        channels=4,
        factor=8,
        window=(size, size),
        scheduler=str(config["_class_name"]),
        scheduler_config=config,
        prediction_type=str(config["prediction_type"]),
        parameters=sum(prod(shape) for shape in shapes.values()),
        cross_attention_dim=2048 if kind == "sdxl" else text[-1],
        denoiser_parameters=sum(prod(shape) for name, shape in shapes.items() if name.startswith(_DENOISER)),
        # An EDM model scales by tensors, of which the header tells the shapes alone.
        scaling_factor=0.0 if _EDM in shapes else _SCALING[kind],
        block_out_channels=(320, 640, 1280) if kind == "sdxl" else (320, 640, 1280, 1280),
        cross_attention=(2, 4) if kind == "sdxl" else (1, 2, 4),
        most_clip_skip=11 if kind == "sdxl" else 23 if config["_class_name"] == "DDIMScheduler" else 12,
        notes=tuple(_notes(shapes, size, config)),
    )


def _notes(shapes: Shapes, size: int, config: Mapping[str, Any]) -> Iterator[str]:
    """What the header does not tell, or tells by a mark, and the key of a recipe that says otherwise."""
    yield f"trained at {size}x{size} pixels, as such models are (window)"
    yield f"scheduler {config['_class_name']} (scheduler)"
    mark = " by the file's mark 'v_pred'" if _V in shapes else "" if _XL in shapes else ", which the file does not tell"
    yield f"predicts {config['prediction_type']}{mark} (scheduler.NAME.prediction-type)"
    if config.get("rescale_betas_zero_snr"):
        yield "begins at zero signal by the file's mark 'ztsnr' (scheduler.NAME.rescale-betas-zero-snr)"


def _xl_prediction(shapes: Shapes) -> str:
    """Fine-tuned SDXL models mark a v-prediction with an empty tensor of that name."""
    return "v_prediction" if _V in shapes else "epsilon"
