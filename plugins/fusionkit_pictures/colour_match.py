"""Colours as those of another picture: by mean and deviation, or by what is coarse (arXiv 2305.07015, section 3.4)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from fusionkit import Field, Plugin, RunMemory, Stage, StageCache, hookimpl
from fusionkit.pictures.picture import found, open_picture, picture_problems
from fusionkit.recipe import Number
from fusionkit.recipe.values import Source

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit.loop.views import Wrap

PREVIOUS, INPUT = "previous", "input"


def _beside_the_recipe(source: str) -> str:
    return source if source in (PREVIOUS, INPUT) else str(found(Path(source)))


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


class ColourMatch(Plugin):
    """Give the picture the colours of another one (StableSR, arXiv 2305.07015, section 3.4).

    By mean and deviation of each colour, y = (x - mean x) / std x * std r + mean r; or by wavelets, where what is
    coarse in x is exchanged for what is coarse in r: y = x - L x + L r.
    """

    to: Annotated[Source, BeforeValidator(_as_text), AfterValidator(_beside_the_recipe)] = Field(
        default=PREVIOUS,
        description="Whose colours: 'previous' is the stage before, or the picture that the run begins with; 'input' "
        "that picture in every stage; or a file, cropped to the canvas' shape.",
    )
    by: Literal["mean-std", "wavelet"] = Field(
        default="mean-std",
        description="What is made equal: mean and deviation of each colour, or all that is coarse, place by place.",
    )
    levels: Annotated[int, Field(ge=1, le=8)] = Field(
        default=5, description="Of wavelet: 2^levels pixels are about the size from which on something is coarse."
    )
    amount: Number = Field(default=1.0, ge=0, le=1, description="How far the colours go there; 0 leaves them alone.")

    _input = RunMemory(str)
    _colours = StageCache(object)

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A picture that is not there."""
        return [f"{self.plugin_name}: {problem}" for problem in self._problems(stage)]

    def _problems(self, stage: Stage) -> Iterator[str]:
        if self.to == INPUT:
            if stage.index == 0 and stage.plan.picture is None:
                yield "the run begins with no picture; add image-to-image, or name a file with 'to'"
        elif self.to != PREVIOUS:
            if stage.index == 0:
                yield from picture_problems(Path(self.to), "picture of 'to'")
        elif not stage.has_previous and stage.plan.size == stage.recipe.size:
            yield "there is no picture of a stage before, as the run has one stage; name a file with 'to'"

    @hookimpl(wrapper=True)
    def init_latents(self, stage: Stage) -> Generator[None, Tensor, Tensor]:
        """Remember what the run begins with."""
        if stage.plan.picture is not None:
            self._input.set(stage, str(stage.plan.picture))
        return (yield)

    @hookimpl(wrapper=True)
    def decode(self, stage: Stage, latents: Tensor) -> Generator[None, Image, Image]:
        """Change the colours of the canvas' picture; not those of a stage before."""
        picture = yield
        if self.amount == 0 or tuple(latents.shape[-2:]) != stage.canvas:
            return picture
        colours: Any = self._colours.get(stage)
        if colours is None and (reference := self._reference(stage)) is not None:
            colours = self._colours.set(stage, self._of(_pixels(reference), stage.wrap))
        if colours is None:
            return picture
        return self._changed(picture, colours, stage.wrap)

    def matched(self, picture: Image, reference: Image) -> Image:
        """A picture with the colours of another one of its size."""
        return self._changed(picture, self._of(_pixels(reference), ""), "")

    def _changed(self, picture: Image, colours: Any, wrap: Wrap) -> Image:
        import torch

        before = _pixels(picture)
        return _picture(torch.lerp(before, self._given(before, colours, wrap), self.amount))

    def _reference(self, stage: Stage) -> Image | None:
        """The picture whose colours count, at the canvas' size; None where there is none."""
        if self.to not in (PREVIOUS, INPUT):
            return stage.laid(open_picture(Path(self.to)))
        begun = str(stage.plan.picture) if stage.plan.picture is not None else self._input.get(stage)
        if begun is not None and (self.to == INPUT or stage.index == 0):
            return stage.laid(open_picture(Path(begun)))
        if self.to == INPUT or stage.previous is None:
            return None
        # By the model itself: asking the hook would change the colours of what they are compared with.
        before = stage.model.decode(stage.previous, stage.wrap)
        return before if before.size == stage.plan.size else before.resize(stage.plan.size)

    def _of(self, reference: Tensor, wrap: Wrap) -> Any:
        """What is taken of a picture (1, 3, H, W)."""
        if self.by == "wavelet":
            return coarse(reference, self.levels, wrap)
        return reference.mean(dim=(2, 3), keepdim=True), reference.std(dim=(2, 3), keepdim=True)

    def _given(self, pixels: Tensor, colours: Any, wrap: Wrap) -> Tensor:
        if self.by == "wavelet":
            exchanged: Tensor = pixels - coarse(pixels, self.levels, wrap) + colours
            return exchanged
        (mean, deviation), own = colours, pixels.std(dim=(2, 3), keepdim=True)
        # A picture of one colour has no deviation that could grow.
        unit = (pixels - pixels.mean(dim=(2, 3), keepdim=True)) / own.clamp_min(1e-6)
        matched: Tensor = unit * deviation + mean
        return matched


def coarse(pixels: Tensor, levels: int, wrap: Wrap = "") -> Tensor:
    """What is coarse in a picture (1, 3, H, W): smoothed by [1, 2, 1] / 4 at distances 1, 2, 4, ..., along both axes.

    Args:
        pixels: The picture.
        levels: The number of distances.
        wrap: Along which axes its edges meet; at others the last pixels are repeated.
    """
    import torch

    for distance in (2**level for level in range(levels)):
        for axis, dim in (("y", -2), ("x", -1)):
            length = pixels.shape[dim]
            places = torch.arange(length)
            before, after = places - distance, places + distance
            ring = axis in wrap
            low, high = ((each % length if ring else each.clamp(0, length - 1)) for each in (before, after))
            pixels = (pixels.index_select(dim, low) + 2 * pixels + pixels.index_select(dim, high)) / 4
    return pixels


def _pixels(picture: Image) -> Tensor:
    import numpy as np
    import torch

    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None].float()


def _picture(pixels: Tensor) -> Image:
    from PIL import Image

    return Image.fromarray(pixels[0].clamp(0, 255).round().byte().permute(1, 2, 0).contiguous().numpy())
