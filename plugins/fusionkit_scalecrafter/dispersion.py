"""Dispersion: kernels of 3x3 as kernels of 5x5 that do the same on a picture twice as large (ScaleCrafter)."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from fusionkit import Field, LayerPatch, Patches, Plugin, Stage, Step, hookimpl
from fusionkit.layers import Share, by_level, by_pattern, is_active, patched, problems, times_larger, unets

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit import ModelInfo


class Dispersion(Plugin):
    """Widen the UNet's kernels to 5x5, smoothly, which reach twice as far without gaps (arXiv 2310.07702).

    Spread by re-dilation, a kernel sees every d-th pixel and leaves a grid of what it missed. A dispersed one sees all
    within its reach; re-dilation then spreads it by half its factor.
    """

    levels: int = Field(
        default=1,
        ge=1,
        le=12,
        strict=True,
        description="How many levels of the UNet, the innermost ones, have dispersed kernels.",
    )
    layers: tuple[str, ...] | None = Field(
        default=None,
        max_length=1000,
        description="Which layers in place of these: names of 3x3 convolutions, or patterns such as 'mid_block.*'. "
        "They are dispersed whatever the view's size; by levels, only views of twice the model's side or more are.",
    )
    until: Share = Field(
        default=0.6, description="In which share of the steps, the first ones, kernels are dispersed; 0 is none."
    )

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A model without a UNet, and layers that it does not have."""
        levels = self.levels if self.layers is None else 0
        found = problems(stage, list(self.layers or ()), levels)
        return [f"{self.plugin_name}: {problem}" for problem in found] if stage.index == 0 else []

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Predict with dispersed kernels while it is time."""
        if not is_active(at, self.until):
            return (yield)
        from fusionkit_scalecrafter.dispersed_kernels import dispersed

        patch = LayerPatch(kernel=dispersed)
        found = {name: dict.fromkeys(self.chosen(info, patches.size), patch) for name, info in unets(stage).items()}
        with patched(stage, found, self.plugin_name):
            return (yield)

    def chosen(self, info: ModelInfo, size: tuple[int, int]) -> list[str]:
        """The layers that are dispersed, for views of (h, w) latent pixels."""
        if self.layers is not None:
            return list(by_pattern(info, dict.fromkeys(self.layers, 2.0)))
        return list(by_level(info, [2.0] * self.levels)) if times_larger(info, size) >= 2 else []
