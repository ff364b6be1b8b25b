"""Noise-damped guidance: direction from spread kernels, noise from kernels that denoise well (ScaleCrafter)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import model_validator

from fusionkit import Field, Patches, Plugin, Stage, Step, hookimpl
from fusionkit.layers import (
    Factor,
    Factors,
    Share,
    by_level,
    by_pattern,
    is_active,
    patched,
    problems,
    times_larger,
    unets,
)
from fusionkit.loop.told import by_model, passes_of, scales_of
from fusionkit_scalecrafter.re_dilation import NAME, progressed, spread

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit import Model, ModelInfo


class NoiseDampedGuidance(Plugin):
    """Guide by the difference that re-dilation's kernels make, from what less spread ones predict (arXiv 2310.07702).

    Kernels that are spread far draw the structure well and remove noise badly. So the prediction is b + w (c - u): c
    with the prompt and u without it under re-dilation, and b without it under factors of its own.
    """

    levels: tuple[Factor, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=12,
        description="Factors by level for b, as re-dilation has them, the innermost level first; levels beyond the "
        "list are left alone. By default how many times the view is as long as the model's window, at all levels but "
        "the two outermost.",
    )
    layers: Factors | None = Field(
        default=None, max_length=1000, description="Factors by layer in place of these, as re-dilation has them."
    )
    until: Share = Field(
        default=0.6, description="In which share of the steps, the first ones, guidance is damped; 0 is none."
    )
    progressive: bool = Field(default=False, description="Whether these factors fall, as re-dilation's may.")

    @model_validator(mode="after")
    def _one_way(self) -> NoiseDampedGuidance:
        if self.levels is not None and self.layers is not None:
            raise ValueError("levels and layers both say which layers; leave one of them out")
        return self

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A model without a UNet or without guidance, layers that it does not have, and no re-dilation to damp."""
        if stage.index:
            return []
        found = list(problems(stage, list(self.layers or ()), len(self.levels or ())))
        if not found and stage.info.takes_guidance:
            found.append(f"{stage.info.name} takes the guidance scale as an input: there is no guidance to damp")
        if not found and not any(plugin.plugin_name == NAME for plugin in stage.recipe.plugins):
            found.append(f"it damps the noise of {NAME}, which the recipe does not have; add it")
        return [f"{self.plugin_name}: {problem}" for problem in found]

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        """B + w (c - u) while it is time, and plain guidance otherwise."""
        if not self._acts(stage, at, patches):
            return by_model(stage, patches, lambda model, part: model.predict(stage, at, part))
        return by_model(stage, patches, lambda model, part: self._damped(stage, at, model, part))

    @hookimpl
    def forward_passes(self, stage: Stage, at: Step, patches: Patches) -> int:
        """A third pass of each view, without the prompt, while guidance is damped."""
        return len(patches.asked) * 3 if self._acts(stage, at, patches) else passes_of(stage, at, patches)

    def factors(self, info: ModelInfo, size: tuple[int, int]) -> dict[str, float]:
        """The first step's factor of each layer that is changed for b, for views of (h, w) latent pixels."""
        if self.layers is not None:
            return by_pattern(info, self.layers)
        if self.levels is not None:
            return by_level(info, self.levels)
        return by_level(info, [times_larger(info, size)] * max(1, len(info.block_out_channels) - 2))

    def _damped(self, stage: Stage, at: Step, model: Model, patches: Patches) -> Tensor:
        cond, uncond = model.predict_pair(stage, at, patches)
        own = {
            name: spread(self._at(self.factors(info, patches.size), at), patches) for name, info in unets(stage).items()
        }
        with patched(stage, own, NAME):
            damped = model.predict_without(stage, at, patches)
        scales = damped.new_tensor(scales_of(stage, at, patches)).reshape(-1, 1, 1, 1)
        return damped + scales * (cond - uncond)

    def _acts(self, stage: Stage, at: Step, patches: Patches) -> bool:
        named = self.layers is not None or self.levels is not None
        guided = any(stage.info.passes(scale) == 2 for scale in scales_of(stage, at, patches))
        return guided and is_active(at, self.until) and (named or times_larger(stage.info, patches.size) > 1)

    def _at(self, factors: Mapping[str, float], at: Step) -> dict[str, float]:
        if not self.progressive:
            return dict(factors)
        return {layer: progressed(factor, at, self.until) for layer, factor in factors.items()}
