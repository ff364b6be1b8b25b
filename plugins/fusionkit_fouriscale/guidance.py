"""FouriScale guidance: detail from weakly filtered features, structure from strongly filtered ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from fusionkit import Field, Patches, Plugin, Stage, Step, by_model, hookimpl, passes_of, scales_of
from fusionkit.layers import patched, problems, unets
from fusionkit.recipe import Number
from fusionkit_fouriscale.fouriscale import NAME, FouriScale

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit import Model


class FouriScaleGuidance(Plugin, name="fouriscale-guidance"):
    """Guide towards what the prompt says of weakly filtered features, where strongly filtered ones look (FouriScale).

    A prediction is u + w (c - u): u without the prompt, under fouriscale's filters, and c with it, under filters that
    keep more detail. In c's self-attention queries and keys are those of a prediction with the prompt under
    fouriscale's own filters, so that its structure stays (arXiv 2403.12963).
    """

    weaker: Annotated[Number, Field(ge=1, le=64)] = Field(
        default=1.0,
        description="What the dilation is divided by where filters are weak; the published value for SDXL is 1.5.",
    )

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A model without a UNet or without guidance, and no fouriscale beside it."""
        if stage.index:
            return []
        found = list(problems(stage, ()))
        if not found and stage.info.takes_guidance:
            found.append(f"{stage.info.name} takes the guidance scale as an input: there is no guidance to change")
        if not found and self._fouriscale(stage) is None:
            found.append(f"it needs {NAME}, whose filters it weakens, and which the recipe does not have; add it")
        return [f"{self.plugin_name}: {problem}" for problem in found]

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        """U + w (c - u) while kernels are spread, and plain guidance otherwise."""
        acts = self._acts(stage, at, patches)

        def predict(model: Model, part: Patches) -> Tensor:
            return self._in_parts(stage, at, model, part) if acts else model.predict(stage, at, part)

        return by_model(stage, patches, predict)

    @hookimpl
    def forward_passes(self, stage: Stage, at: Step, patches: Patches) -> int:
        """A third pass of each view, with the prompt, while kernels are spread."""
        return len(patches.asked) * 3 if self._acts(stage, at, patches) else passes_of(stage, at, patches)

    def _in_parts(self, stage: Stage, at: Step, model: Model, patches: Patches) -> Tensor:
        answer = patches.latents.new_full(patches.latents.shape, float("nan"))
        for numbers in self._parts(stage, model, patches):
            with patches.only([number in numbers for number in range(len(patches.views))], self):
                answer[numbers] = self._guided(stage, at, model, patches)[numbers]
        return answer

    def _guided(self, stage: Stage, at: Step, model: Model, patches: Patches) -> Tensor:
        from fusionkit_fouriscale.donors import Donors

        fouriscale, donors = self._fouriscale(stage), Donors(model.layers("*.attn1.to_[qk]"))
        assert fouriscale is not None, "check has found it"
        with model.patched(donors.keeping(), self.plugin_name):
            _, uncond = model.predict_pair(stage, at, patches)
        weak = {
            name: fouriscale.put(info, at, patches.size, weak=True, weaker=self.weaker)
            for name, info in unets(stage).items()
        }
        with patched(stage, weak, NAME), model.patched(donors.giving(), self.plugin_name):
            cond = model.predict_with(stage, at, patches)
        scales = cond.new_tensor(scales_of(stage, at, patches)).reshape(-1, 1, 1, 1)
        return uncond + scales * (cond - uncond)

    def _acts(self, stage: Stage, at: Step, patches: Patches) -> bool:
        fouriscale = self._fouriscale(stage)
        guided = any(stage.info.passes(scale) == 2 for scale in scales_of(stage, at, patches))
        return guided and fouriscale is not None and fouriscale.dilation_at(stage.info, at, patches.size) > 1

    @staticmethod
    def _parts(stage: Stage, model: Model, patches: Patches) -> Iterator[list[int]]:
        """The numbers of views that are predicted together: all their queries and keys are in memory meanwhile."""
        size = stage.recipe.batch_size or model.batch_size or 1
        asked = patches.asked
        for first in range(0, len(asked), size):
            yield asked[first : first + size]

    @staticmethod
    def _fouriscale(stage: Stage) -> FouriScale | None:
        return next((plugin for plugin in stage.recipe.plugins if isinstance(plugin, FouriScale)), None)
