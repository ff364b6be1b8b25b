"""Re-dilation: convolutions that see as much of a larger picture as of one of the model's size (ScaleCrafter)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from fusionkit import Field, LayerPatch, Patches, Plugin, Stage, Step, hookimpl
from fusionkit.layers import (
    AutoFactor,
    Factor,
    Factors,
    Share,
    by_level,
    by_pattern,
    is_active,
    last_step,
    one_view_high,
    patched,
    problems,
    times_larger,
    unets,
)

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit import ModelInfo

NAME = "re-dilation"


class ReDilation(Plugin):
    """Spread the UNet's convolutions, so that views larger than it was trained at have one subject (arXiv 2310.07702).

    A model sees a picture through its convolutions' reach. In a view twice as large they reach half as far, and it
    draws everything twice. Spread by the same factor they reach as far as they did. It is done in the first steps,
    in which the structure is decided, and inside the UNet, where its reach comes from.
    """

    factor: AutoFactor = Field(
        default="auto",
        description="How far kernels are spread, at all levels of the UNet but the outermost; fractions too. 'auto' is "
        "how many times the view is as long as the model's window, so that views of the model's size stay as they are.",
    )
    levels: tuple[Factor, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=12,
        description="Factors by level in place of 'factor', the innermost level first, such as [4, 3, 2]; levels "
        "beyond the list are left alone. [2] alone is the paper's choice for SDXL at twice its side.",
    )
    layers: Factors | None = Field(
        default=None,
        max_length=1000,
        description="Factors by layer in place of both: names of 3x3 convolutions, or patterns such as 'mid_block.*'; "
        "of several that fit, the last one counts.",
    )
    until: Share = Field(
        default=0.6, description="In which share of the steps, the first ones, kernels are spread; 0 is none."
    )
    progressive: bool = Field(
        default=False,
        description="Whether factors fall from step to step, in whole numbers down to 2: for 4 times the side or so.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> ReDilation:
        if self.levels is not None and self.layers is not None:
            raise ValueError("levels and layers both say which layers; leave one of them out")
        if self.factor != "auto" and (self.levels is not None or self.layers is not None):
            raise ValueError("levels and layers have factors of their own; leave out factor")
        return self

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A model without a UNet, and layers that it does not have."""
        found = problems(stage, list(self.layers or ()), len(self.levels or ()))
        return [f"{self.plugin_name}: {problem}" for problem in found] if stage.index == 0 else []

    @hookimpl
    def keeps_composition(self, stage: Stage) -> bool:
        """A view that shows all of the height has one subject."""
        return self.until > 0 and one_view_high(stage)

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Predict with spread kernels while it is time."""
        if not is_active(at, self.until):
            return (yield)
        found = {
            name: spread(self._at(self.factors(info, patches.size), at), patches) for name, info in unets(stage).items()
        }
        with patched(stage, found, NAME):
            return (yield)

    def factors(self, info: ModelInfo, size: tuple[int, int]) -> dict[str, float]:
        """The first step's factor of each layer that is changed, for views of (h, w) latent pixels."""
        if self.layers is not None:
            return by_pattern(info, self.layers)
        if self.levels is not None:
            return by_level(info, self.levels)
        factor = times_larger(info, size) if self.factor == "auto" else self.factor
        return by_level(info, [factor] * max(1, len(info.block_out_channels) - 1))

    def _at(self, factors: Mapping[str, float], at: Step) -> dict[str, float]:
        if not self.progressive:
            return dict(factors)
        return {layer: progressed(factor, at, self.until) for layer, factor in factors.items()}


def spread(factors: Mapping[str, float], patches: Patches) -> dict[str, LayerPatch]:
    """The patches of layers whose kernels are spread by a factor each, while a group is predicted."""
    return {layer: LayerPatch(convolution=partial(_spread, factor, patches)) for layer, factor in factors.items()}


def _spread(factor: float, patches: Patches, *convolution: Any) -> Tensor:
    from fusionkit_scalecrafter.convolution import re_dilated

    # What a ControlNet adds is as large as features are without re-dilation. Plugins further in may bring one.
    return partial(re_dilated, whole=bool(patches.controls))(factor, *convolution)


def progressed(factor: float, at: Step, until: float) -> float:
    """A factor that falls, a whole number of at least 2: max(ceil(d (tau - i) / tau), 2) in step i of tau."""
    tau = last_step(at, until)
    return float(max(ceil(factor * (tau - at.index) / tau), 2))
