"""The reference of Style Alignment: random noise, a patch of the canvas, a picture, or noise that is given."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_serializer, model_validator

from fusionkit import Stage, View
from fusionkit.pictures.picture import PicturePath, open_picture, picture_problems
from fusionkit.trust import check_opening

if TYPE_CHECKING:
    from torch import Tensor


class Reference(BaseModel):
    """Where the reference comes from; with nothing given it is random noise. At most one of the fields is given.

    A picture is looked for from the working folder and beside the recipe, noise from the working folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch: tuple[int, int] | None = Field(
        default=None, description="Left and top, in pixels, of a window of the canvas."
    )
    image: PicturePath | None = Field(default=None, description="A picture; it is scaled to the window and cropped.")
    noise: Any = Field(
        default=None,
        description="A .safetensors file of one tensor (C, h, w), or from Python that tensor; N(0, 1) noise.",
    )

    @field_validator("noise")
    @classmethod
    def _file_or_tensor(cls, noise: Any) -> Any:
        if noise is None or isinstance(noise, (str, Path)) or hasattr(noise, "shape"):
            return noise
        raise ValueError("reference noise is a .safetensors file, or from Python a tensor")

    @model_validator(mode="after")
    def _at_most_one(self) -> Reference:
        if len(given := self._given()) > 1:
            raise ValueError(f"a reference is one of patch, image and noise, not {' and '.join(given)}")
        return self

    @model_serializer
    def _write(self) -> str | dict[str, Any]:
        def written(value: Any) -> Any:
            # A recipe can't hold a tensor: it says what was there.
            return f"a tensor of {tuple(value.shape)}" if hasattr(value, "shape") else value

        return {name: written(value) for name, value in self._given().items()} or "random"

    def _given(self) -> dict[str, Any]:
        return {name: value for name, value in self if value is not None}

    def problems(self, stage: Stage) -> list[str]:
        """What can be said against it before the model loads."""
        if self.patch is not None:
            return self._patch_problems(stage)
        if self.image is not None:
            return picture_problems(self.image, "reference image")
        return [] if self.noise is None else _noise_problems(self.noise, stage.info.channels)

    def noise_of(self, stage: Stage, noise: Tensor) -> Tensor:
        """The reference (1, C, h, w), of the window's size or the given tensor's, for canvas noise (1, C, H, W)."""
        from fusionkit.loop.canvas import gather

        if self.patch is not None:
            left, top = (pixels // stage.factor for pixels in self.patch)
            return gather(noise, [View(top, left, *stage.window, wrap=stage.wrap)])
        if self.image is not None:
            return noised_image(self.image, stage)
        if self.noise is not None:
            given: Tensor = _load(self.noise)
            return given.reshape(1, *given.shape[-3:]).to(stage.device, stage.dtype)
        return stage.noise("style reference", (1, stage.shape[1], *stage.window))

    def _patch_problems(self, stage: Stage) -> list[str]:
        x, y = self.patch or (0, 0)
        (height, width), (rows, columns), factor = stage.canvas, stage.window, stage.factor
        if x % factor or y % factor:
            return [f"reference patch [{x}, {y}] is not a multiple of the model's latent factor, {factor} pixels"]
        # On a ring a window may begin anywhere, and goes on at the other edge.
        right = (width - 1 if "x" in stage.wrap else width - columns) * factor
        bottom = (height - 1 if "y" in stage.wrap else height - rows) * factor
        if not (0 <= x <= right and 0 <= y <= bottom):
            return [
                f"reference patch [{x}, {y}] does not lie on the canvas of {width * factor}x{height * factor}; "
                f"a window begins at most at [{right}, {bottom}]"
            ]
        return []


def as_reference(value: Any) -> Any:
    """`random`, a tensor, or a mapping of one of patch, image and noise, as a `Reference` or what it is made from."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return {"noise": value}
    if value == "random":
        return {}
    if isinstance(value, str):
        raise ValueError(
            f"'{value}' is no reference; use random, {{patch: [x, y]}}, {{image: FILE}} or {{noise: FILE}}"
        )
    return value


ReferenceOption = BeforeValidator(as_reference, json_schema_input_type=Reference | str)


def noised_image(path: Path, stage: Stage) -> Tensor:
    """A picture as starting noise of one window, (1, C, h, w), with mean square 1.

    The picture is scaled to cover the window, cropped to it around its centre, encoded, and noised to the stage's
    first timestep. What schedulers scale differently (by up to the last sigma) is divided out by the root of the mean
    square of the whole tensor, so that the picture's colours and composition stay in it as a small shift while its
    power is that of N(0, 1).
    """
    height, width = (side * stage.factor for side in stage.window)
    latents = stage.model.encode(open_picture(path, (width, height)))
    fresh = stage.noise("style reference", tuple(latents.shape))
    noised = stage.scheduler.noisiest(latents, fresh)
    return noised / noised.square().mean().sqrt()


def _noise_problems(noise: Any, channels: int) -> list[str]:
    what = f"'{noise}'" if isinstance(noise, (str, Path)) else "that is given"
    if isinstance(noise, (str, Path)) and os.path.exists(noise) and not os.path.isfile(noise):
        return [f"reference noise {what} is no ordinary file"]  # a pipe would let us wait for ever
    try:
        shape = tuple(_load(noise).shape)
    except FileNotFoundError:
        return [f"reference noise {what} does not exist"]
    except (OSError, ValueError) as error:
        return [f"reference noise {what} can't be read: {error}"]
    fits = len(shape) in (3, 4) and shape[-3] == channels and shape[:-3] in ((), (1,)) and min(shape) > 0
    return (
        [] if fits else [f"reference noise {what} has shape {shape}; expected ({channels}, height, width) in latents"]
    )


def _load(noise: Any) -> Any:
    """The tensor itself, or the only one of a file."""
    if not isinstance(noise, (str, Path)):
        return noise
    check_opening(noise, "reference noise")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = list(load_file(noise).values())
    except SafetensorError as error:
        raise ValueError(f"it is no safetensors file ({error})") from error
    if len(tensors) != 1:
        raise ValueError(f"it holds {len(tensors)} tensors instead of one")
    return tensors[0]
