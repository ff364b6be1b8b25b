"""Pictures enlarged in pixels, as the stages of an upscaling need them, and how a recipe says so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from fusionkit import NetworkPath
from fusionkit.models.networks import SUFFIX
from fusionkit.recipe.problems import shown

if TYPE_CHECKING:
    from PIL.Image import Image

    from fusionkit import Stage
    from fusionkit.loop.views import Wrap


def parse_enlarge(value: Any) -> Any:
    """`latents`, `pixels`, or the file of a network."""
    if value in ("latents", "pixels") or isinstance(value, Path):
        return value
    if isinstance(value, str) and value.endswith(SUFFIX):
        return Path(value)
    raise ValueError(f"must be latents, pixels, or the {SUFFIX} file of a super-resolution network, not {shown(value)}")


Enlarge = Annotated[
    Literal["latents", "pixels"] | NetworkPath,
    BeforeValidator(parse_enlarge),
    WithJsonSchema({"anyOf": [{"enum": ["latents", "pixels"]}, {"type": "string"}]}),
]


def enlarged(picture: Image, stage: Stage, network: Path | None = None) -> Image:
    """A stage's picture at its size, by a super-resolution network or bicubically; where it is a ring it stays one."""
    if network is None:
        return bicubic(picture, stage.plan.size, stage.wrap)
    from fusionkit import enlarged_by

    return enlarged_by(network, picture, stage.plan.size, stage.device, stage.wrap)


def bicubic(picture: Image, size: tuple[int, int], wrap: Wrap = "") -> Image:
    """A picture at (width, height), bicubically; where it is a ring along the axes `wrap` it stays one."""
    import numpy as np
    import torch
    from PIL import Image

    from fusionkit import resized

    pixels = torch.from_numpy(np.array(picture.convert("RGB"), dtype=np.float32)).permute(2, 0, 1)[None]
    large = resized(pixels, (size[1], size[0]), wrap)[0].permute(1, 2, 0)
    return Image.fromarray(large.round().clamp(0, 255).to(torch.uint8).numpy())
