"""A UNet whose inner levels see a larger view at the size that they were trained at (HiDiffusion)."""

from __future__ import annotations

from collections.abc import Generator
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

from fusionkit import Field, LayerPatch, Patches, Plugin, RecipeError, Stage, Step, hookimpl
from fusionkit.layers import PassMemory, Share, one_view_high, patched, problems, times_larger, unets
from fusionkit.loop.told import refuse_steered

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit import ModelInfo

_CONTROLS = "a ControlNet adds features of the sizes that it changes; leave out one of the two"
FOUR_TIMES = 4
"""From so many times both of the model's sides on, HiDiffusion shrinks features twice over."""


class ResolutionAwareUNet(Plugin, name="resolution-aware-unet"):
    """Shrink the features of a larger view on their way into the UNet, and enlarge them on their way out (HiDiffusion).

    The inner levels then see a view of twice the side at the size that they know, and draw one subject (arXiv
    2311.17528). It is done in the first steps, in which the structure is decided, and saves time there.
    """

    strided: Share | None = Field(
        default=None,
        description="In which share of the steps, the first ones, a downsampler makes a quarter of a side in place of "
        "a half. By default as in HiDiffusion: 0.4 (SD 1 and 2) or 0.16 (SDXL), from 4 times the side on 0.3.",
    )
    pooled: Share | None = Field(
        default=None,
        description="Up to which share of the steps the next level's features are pooled; of SDXL "
        "below 4 times the side, after the strided steps. By default none or 0.4 (SDXL), from 4 times the side on 0.7.",
    )

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A model without a UNet, or of one level."""
        if stage.index:
            return []
        found = list(problems(stage, ()))
        found += [
            f"{info.name} has one level, and none within it"
            for info in unets(stage).values()
            if len(info.block_out_channels) < 2
        ]
        return [f"{self.plugin_name}: {problem}" for problem in found]

    @hookimpl
    def keeps_composition(self, stage: Stage) -> bool:
        """A view that shows all of the height has one subject."""
        return one_view_high(stage) and (self.strided, self.pooled) != (0, 0)

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Predict with smaller features inside while it is time."""

        def alone(forward: Any, *args: Any, **kwargs: Any) -> Any:
            # Asked within the model: plugins further in may bring a ControlNet.
            if patches.controls:
                raise RecipeError([f"{self.plugin_name}: {_CONTROLS}"])
            return forward(*args, **kwargs)

        put = {name: self.put(info, at, patches.size) for name, info in unets(stage).items()}
        for layers in put.values():
            if layers:
                layers["conv_in"] = LayerPatch(around=alone)
        with patched(stage, put, self.plugin_name):
            return (yield)

    @hookimpl(wrapper=True)
    def forward_passes(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, int, int]:
        """The passes stay as they are; a plugin that brings a ControlNet is refused before the run."""
        passes = yield
        if any(self.put(info, at, patches.size) for info in unets(stage).values()):
            refuse_steered(stage, at, patches, self, _CONTROLS, {"controls"})
        return passes

    def put(self, info: ModelInfo, at: Step, size: tuple[int, int]) -> dict[str, LayerPatch]:
        """The patches of a step, for views of (h, w) latent pixels; none of views of the model's size."""
        width, height = info.window
        far = min(size[0] * info.factor / height, size[1] * info.factor / width) >= FOUR_TIMES
        strided, pooled = self.acts(info, at, far)
        if times_larger(info, size) <= 1 or not (strided or pooled):
            return {}
        levels, sizes = len(info.block_out_channels), PassMemory()
        put: dict[str, LayerPatch] = {}
        for level in range(levels - 1):
            down, up = f"down_blocks.{level}.downsamplers.0", f"up_blocks.{levels - 2 - level}.upsamplers.0"
            put[down] = LayerPatch(around=partial(_noting, sizes, down))
            put[up] = LayerPatch(around=partial(_enlarging, sizes, down))
        if strided:
            put[f"down_blocks.{int(_spares_the_outermost(info))}.downsamplers.0.conv"] = LayerPatch(
                convolution=_strided
            )
        if pooled:
            put["down_blocks.1.attentions.0"] = LayerPatch(around=partial(_pooling, sizes))
            # As many layers of the way out as the level has on its way in are given what was pooled.
            last = sum(fnmatchcase(layer, "down_blocks.1.resnets.*.conv1") for layer in info.convolutions) - 1
            put[f"up_blocks.{levels - 2}.attentions.{last}"] = LayerPatch(around=partial(_unpooling, sizes))
        return put

    def acts(self, info: ModelInfo, at: Step, far: bool) -> tuple[bool, bool]:
        """Whether a downsampler is strided, and whether the next level is pooled, at a step."""
        xl = _spares_the_outermost(info)
        stride = (0.3 if far else 0.16 if xl else 0.4) if self.strided is None else self.strided
        pool = (0.7 if far else 0.4 if xl else 0.0) if self.pooled is None else self.pooled
        strided = at.index < int(stride * at.total + 1e-9)
        pooled = at.index < int(pool * at.total + 1e-9) and 2 in info.cross_attention
        return strided, pooled and not (strided and xl and not far)


def _spares_the_outermost(info: ModelInfo) -> bool:
    """Whether a UNet has no attention at its outermost level, and three or more of them, as SDXL's."""
    return 1 not in info.cross_attention and len(info.block_out_channels) > 2


def _strided(
    conv2d: Any, x: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    answer: Tensor = conv2d(x, weight, bias, (4, 4), 2, 2, groups)
    return answer


def _noting(sizes: PassMemory, name: str, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Remember how large features were before they were made smaller."""
    sizes[name] = (hidden.shape[-2], hidden.shape[-1])
    return forward(hidden, *args, **kwargs)


def _enlarging(sizes: PassMemory, name: str, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Enlarge to the size that features had there."""
    return forward(hidden, sizes[name])


def _pooling(sizes: PassMemory, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
    from torch.nn.functional import avg_pool2d

    sizes["pooled"] = (hidden.shape[-2], hidden.shape[-1])
    output = forward(hidden, *args, **kwargs)
    return (avg_pool2d(output[0], 2, ceil_mode=True), *output[1:])


def _unpooling(sizes: PassMemory, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
    from torch.nn.functional import interpolate

    output = forward(hidden, *args, **kwargs)
    return (interpolate(output[0], size=sizes["pooled"], mode="bicubic", align_corners=False), *output[1:])
