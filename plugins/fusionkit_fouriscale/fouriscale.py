"""FouriScale: spread convolutions behind low-pass filters, in views larger than the model was trained at."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Annotated

from pydantic import model_validator

from fusionkit import Field, LayerPatch, Patches, Plugin, Stage, Step, hookimpl
from fusionkit.layers import (
    AutoFactor,
    Share,
    by_level,
    by_pattern,
    last_step,
    level_of,
    one_view_high,
    patched,
    problems,
    unets,
)
from fusionkit.recipe import Number, Size

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit import ModelInfo

NAME = "fouriscale"


class FouriScale(Plugin, name=NAME):
    """Spread the UNet's convolutions, and filter out what they would alias, in views larger than its own (FouriScale).

    A kernel spread d-fold sees every d-th pixel, and takes finer detail for coarse structure. So its input loses the
    frequencies that every d-th pixel can't show (arXiv 2403.12963).
    """

    dilation: AutoFactor = Field(
        default="auto",
        description="How far kernels are spread in the first steps. 'auto' is how many times the view is as long as "
        "the model's own size, rounded up, so that views of that size stay as they are.",
    )
    base: Size | None = Field(
        default=None,
        description="The size that the model draws well, such as 1024x1024; by default its window. Of a wide view a "
        "wide one that it was trained at, such as 1536x640 of SDXL.",
    )
    levels: int | None = Field(
        default=None,
        ge=1,
        le=12,
        strict=True,
        description="How many levels of the UNet, the innermost ones; by default all but the outermost.",
    )
    layers: tuple[str, ...] | None = Field(
        default=None,
        max_length=1000,
        description="Which layers in place of these: names of 3x3 convolutions, or patterns such as 'mid_block.*'.",
    )
    start: Share = Field(
        default=0.2, description="After which share of the steps the dilation begins to fall, if it is progressive."
    )
    until: Share = Field(
        default=0.6, description="In which share of the steps, the first ones, kernels are spread; 0 is none."
    )
    progressive: bool = Field(
        default=True, description="Whether the dilation falls to 1 between 'start' and 'until', in fractions."
    )
    floor: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="What is kept of the frequencies that are filtered out: 0 for nothing, 1 for no filter; the "
        "published value for SDXL is 0.6.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> FouriScale:
        if self.levels is not None and self.layers is not None:
            raise ValueError("levels and layers both say which layers; leave one of them out")
        if self.start > self.until:
            raise ValueError("start is after until; the dilation falls from the one to the other")
        return self

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A model without a UNet, and layers that it does not have."""
        found = problems(stage, list(self.layers or ()), self.levels or 0)
        return [f"{self.plugin_name}: {problem}" for problem in found] if stage.index == 0 else []

    @hookimpl
    def keeps_composition(self, stage: Stage) -> bool:
        """A view that shows all of the height has one subject."""
        return self.until > 0 and one_view_high(stage)

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Predict with spread kernels behind filters while it is time."""
        put = {name: self.put(info, at, patches.size) for name, info in unets(stage).items()}
        if not any(put.values()):
            return (yield)
        with patched(stage, put, NAME):
            return (yield)

    def put(
        self, info: ModelInfo, at: Step, size: tuple[int, int], weak: bool = False, weaker: float = 1.0
    ) -> dict[str, LayerPatch]:
        """The patches of a step, for views of (h, w) latent pixels.

        Args:
            info: The model.
            at: The step.
            size: Of the views.
            weak: Whether the filters are the weak ones.
            weaker: What the dilation of the kernels, not of the filters, is divided by.
        """
        dilation = self.dilation_at(info, at, size)
        if dilation <= 1:
            return {}
        from fusionkit_fouriscale.low_pass import Filter, filtered_dilation

        height, width = self.base_of(info)
        levels, put = len(info.block_out_channels), {}
        for layer in self.chosen(info):
            shrunk = 2 ** level_of(layer, levels)
            low_pass = Filter((height / shrunk, width / shrunk), weak, self.floor)
            # An upsampler's input is enlarged already: there is nothing in it to filter out.
            own = None if ".upsamplers." in layer else low_pass
            put[layer] = LayerPatch(convolution=partial(filtered_dilation, dilation, own, weaker))
        return put

    def dilation_at(self, info: ModelInfo, at: Step, size: tuple[int, int]) -> float:
        """How far kernels are spread at a step, in views of (h, w) latent pixels; 1 is not at all."""
        start, end = last_step(at, self.start), last_step(at, self.until)
        if at.index >= end:
            return 1.0
        height, width = self.base_of(info)
        whole = max(ceil(size[0] / height), ceil(size[1] / width)) if self.dilation == "auto" else self.dilation
        if not self.progressive or at.index < start:
            return float(max(whole, 1))
        return float(max((whole - 1) * (end - at.index) / (end - start) + 1, 1))

    def base_of(self, info: ModelInfo) -> tuple[float, float]:
        """(h, w) in latent pixels of what the model draws well."""
        width, height = self.base or info.window
        return height / info.factor, width / info.factor

    def chosen(self, info: ModelInfo) -> list[str]:
        """The layers that are changed."""
        if self.layers is not None:
            return list(by_pattern(info, dict.fromkeys(self.layers, 2.0)))
        levels = self.levels or max(1, len(info.block_out_channels) - 1)
        return list(by_level(info, [2.0] * levels))
