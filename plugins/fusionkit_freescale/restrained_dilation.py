"""Restrained dilation: kernels are spread on the way into the UNet alone, at its innermost level (FreeScale)."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

from fusionkit import Field, LayerPatch, ModelInfo, Patches, Plugin, Stage, Step, hookimpl
from fusionkit.layers import (
    AutoFactor,
    Share,
    is_active,
    level_of,
    one_view_high,
    patched,
    problems,
    times_larger,
    unets,
)

if TYPE_CHECKING:
    from torch import Tensor


class RestrainedDilation(Plugin):
    """Spread the UNet's convolutions where features are smallest and structure is made, and nowhere else (FreeScale).

    Covered are the downsampler into the innermost level, that level's ResNet blocks on the way down, and the middle:
    an enlarged view keeps its subjects, and the way up, which makes texture, is as it was (arXiv 2412.09626).
    """

    factor: AutoFactor = Field(
        default="auto",
        description="How far kernels are spread, rounded up to a whole number. 'auto' is how many whole times the view "
        "is as long as the model's window, so that views below twice its size stay as they are.",
    )
    until: Share = Field(
        default=0.57,
        description="In which share of a stage's steps, the first ones, kernels are spread; 0 is none. The default are "
        "FreeScale's 35 of 50 steps, of which an enlarging stage leaves out the first 15.",
    )

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A model without a UNet."""
        return [f"{self.plugin_name}: {problem}" for problem in problems(stage, ())] if stage.index == 0 else []

    @hookimpl
    def keeps_composition(self, stage: Stage) -> bool:
        """A view that shows all of the height has one subject."""
        return self.until > 0 and one_view_high(stage)

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Predict with spread kernels while it is time."""
        put: dict[str, dict[str, LayerPatch]] = {}
        for name, info in unets(stage).items():
            factor = int(times_larger(info, patches.size)) if self.factor == "auto" else ceil(self.factor)
            if factor > 1 and is_active(at, self.until):
                put[name] = dict.fromkeys(covered(info), LayerPatch(convolution=partial(_spread, factor)))
        with patched(stage, put, self.plugin_name):
            return (yield)


def covered(info: ModelInfo) -> list[str]:
    """The layers that are changed."""
    levels = len(info.block_out_channels)
    innermost = [layer for layer in info.convolutions if level_of(layer, levels) == levels - 1]
    into = [layer for layer in info.convolutions if layer.startswith(f"down_blocks.{levels - 2}.downsamplers.")]
    return into + [layer for layer in innermost if not layer.startswith("up_blocks.")]


def _spread(
    factor: int,
    conv2d: Any,
    x: Tensor,
    weight: Tensor,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    reach = (weight.shape[-1] - 1) // 2
    # A kernel of 5x5, as a dispersed one is, reaches twice as far by itself.
    whole = max(1, -(-factor // max(reach, 1)))
    answer: Tensor = conv2d(x, weight, bias, stride, whole * reach, whole, groups)
    return answer
