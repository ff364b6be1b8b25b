"""Scale fusion: self-attention in windows of the model's size and over the whole view, joined by a blur (FreeScale)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Annotated, ClassVar

from fusionkit import Field, LayerPatch, ModelInfo, Patches, Plugin, Stage, Step, View, hookimpl, windows
from fusionkit.layers import FeatureSize, Share, is_active, patched, problems, times_larger, unets
from fusionkit.loop.views import jittered
from fusionkit.recipe import Number

if TYPE_CHECKING:
    from torch import Tensor

# So many integers that the remainder of a draw is as good as evenly drawn.
_MANY = 2**31 - 1


class ScaleFusion(Plugin):
    """Take coarse structure from self-attention in windows, and fine detail from that over the whole view (FreeScale).

    In every self-attention of a view larger than the model's window: l in overlapping windows of that size, g over all
    of the features, G a Gaussian blur; the answer is G(l) + g - G(g) (arXiv 2412.09626, section 3.4).
    """

    fast_mode: bool = Field(
        default=False,
        description="Whether attention over the whole is over each of the coarse pictures that every n-th feature "
        "makes, n being how often the window fits: as cheap as the windows, and a little coarser.",
    )
    sigma: Annotated[Number, Field(gt=0, le=100)] = Field(
        default=1.0, description="Standard deviation of the blur, in features; its kernel has 2 n - 1 of them."
    )
    jitter: Annotated[Number, Field(ge=0, le=0.25)] = Field(
        default=0.125,
        description="By which share of their side windows are moved at random, anew for each layer and step, so that "
        "no border stays in its place; beyond the features there are zeros.",
    )
    until: Share = Field(
        default=1.0, description="In which share of a stage's steps, the first ones, scales are fused; 0 is none."
    )

    _blurred_axes: ClassVar[tuple[int, ...]] = (1, 2)  # rows and columns of features (B, h, w, C)

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A model without a UNet."""
        return [f"{self.plugin_name}: {problem}" for problem in problems(stage, ())] if stage.index == 0 else []

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Predict with fused scales while it is time; views of the model's size stay as they are."""
        put = {
            name: self.put(stage, at, name, info, patches.size)
            for name, info in unets(stage).items()
            if is_active(at, self.until) and times_larger(info, patches.size) > 1
        }
        with patched(stage, put, self.plugin_name):
            return (yield)

    def put(self, stage: Stage, at: Step, model: str, info: ModelInfo, size: tuple[int, int]) -> dict[str, LayerPatch]:
        """The patches of a step on one model's layers, for views of (h, w) latent pixels."""
        from fusionkit_freescale.fused_attention import fused

        width, height = info.window
        times = max(1.0, size[0] * info.factor / height), max(1.0, size[1] * info.factor / width)
        layers = stage.models.get(model, stage.model).layers("*.attentions.*.transformer_blocks.*.attn1")
        sizes = {layer.partition(".transformer_blocks")[0]: FeatureSize() for layer in layers}
        put = {outer: LayerPatch(around=each) for outer, each in sizes.items()}
        for layer in layers:
            windows_in = partial(self.windows_in, stage, at, f"{model} {layer}", times)
            put[layer] = LayerPatch(
                around=partial(fused, self, sizes[layer.partition(".transformer_blocks")[0]], windows_in, _whole(times))
            )
        return put

    def windows_in(
        self, stage: Stage, at: Step, layer: str, times: tuple[float, float], size: tuple[int, int]
    ) -> Sequence[View]:
        """The windows of a layer with features of (h, w), at a step; they may reach over the border.

        Args:
            stage: The stage.
            at: The step.
            layer: Its model and name.
            times: How many times as long as the model's window the view is, (vertical, horizontal).
            size: Of the features.
        """
        own = tuple(max(1, round(side / each)) for side, each in zip(size, times, strict=True))
        views = windows(size, (own[0], own[1]), (max(1, own[0] // 2), max(1, own[1] // 2)))
        reach = int(own[0] * self.jitter), int(own[1] * self.jitter)
        draws = iter(stage.integers(f"scale fusion of {layer}", 2 * len(views), 0, _MANY, at=at))
        return jittered(views, size, reach, lambda low, high: low + next(draws) % (high - low + 1), cross=True)

    @property
    def blurred_axes(self) -> tuple[int, ...]:
        """Which axes of features (B, h, w, C) are blurred."""
        return self._blurred_axes


def _whole(times: tuple[float, float]) -> tuple[int, int]:
    """Whole numbers, rounded up but for rounding errors."""
    return ceil(times[0] - 1e-6), ceil(times[1] - 1e-6)
