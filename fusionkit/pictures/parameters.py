"""What other programs read of a picture: prompt and settings, as the web UI of AUTOMATIC1111 writes them.

Its `modules/infotext_utils.py` reads them back.
"""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Recipe

KEY = "parameters"
"""The text of a PNG that holds it."""

USER_COMMENT, EXIF_IFD = 0x9286, 0x8769
"""The EXIF tag that JPEG and WebP hold it in, and the part of EXIF that has this tag."""

_UNICODE = b"UNICODE\0"
_KARRAS = "-karras"
# Others are told by our own names, which no other program knows.
_SAMPLERS = {
    "ddim": "DDIM",
    "ddpm": "DDPM",
    "dpm++-2m": "DPM++ 2M",
    "dpm++-2m-sde": "DPM++ 2M SDE",
    "euler": "Euler",
    "euler-a": "Euler a",
    "heun": "Heun",
    "kdpm2": "DPM2",
    "kdpm2-a": "DPM2 a",
    "lcm": "LCM",
    "lms": "LMS",
    "pndm": "PLMS",
    "unipc": "UniPC",
}


def parameters_of(recipe: Recipe, size: tuple[int, int]) -> str:
    """The text for a picture: its prompt, the negative one, and a line of settings.

    Of models it has names alone, without the folders that they lie in.

    Args:
        recipe: The recipe that drew it, completed with all defaults.
        size: (width, height) of the picture in pixels.
    """
    settings: dict[str, object] = {"Steps": recipe.steps}
    if recipe.scheduler is not None:
        name = recipe.scheduler.name
        settings["Sampler"] = _SAMPLERS.get(name.removesuffix(_KARRAS), name)
        if name.endswith(_KARRAS):
            settings["Schedule type"] = "Karras"
    settings |= {"CFG scale": f"{recipe.guidance_scale:g}", "Seed": recipe.seed, "Size": "{}x{}".format(*size)}
    if models := [model_name(spec.model) for spec in recipe.specs.values()]:
        settings["Model"] = " + ".join(models)
    if recipe.clip_skip:
        settings["Clip skip"] = recipe.clip_skip + 1  # there 1 is the last layer
    settings["Version"] = f"fusionkit {version('fusionkit')}"
    lines = [recipe.prompt]
    if recipe.negative_prompt:
        lines.append(f"Negative prompt: {recipe.negative_prompt}")
    return "\n".join([*lines, ", ".join(f"{key}: {_quoted(str(value))}" for key, value in settings.items())])


def as_user_comment(text: str) -> bytes:
    """The text as EXIF holds it."""
    return _UNICODE + text.encode("utf-16-be", "surrogatepass")


def model_name(model: str) -> str:
    """A model's name: of what is or may be a path, its last part."""
    outside = model.startswith(("/", "\\", ".", "~")) or ":" in model or model.endswith(".safetensors")
    if outside or os.path.exists(os.path.expanduser(model)):
        model = model.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return model.removesuffix(".safetensors")


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(each in value for each in ",:\n") else value
