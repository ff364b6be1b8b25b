"""The weighted mean of models: several models draw one picture, by the mean of what they predict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fusionkit import Field, Patches, Plugin, Stage, StageCache, Step, hookimpl
from fusionkit.loop.partly import chosen, spread
from fusionkit.loop.told import scales_of
from fusionkit.recipe import Number
from fusionkit_magicfusion.saliency_noise_blending import training_timesteps
from fusionkit_weightedmean.parts import Place, Share, Shares, Stretch, WeightedBox, WeightedMask, Weights, normalised

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit import Told
    from fusionkit_weightedmean.weights import Weighing


class MeanOfModels(Plugin, name="weighted-mean"):
    """Let several models draw one picture: the weighted mean of their guided predictions (arXiv 2206.01714).

    At pixel x of a view and timestep t, with weights that add up to 1: e(x, t) = sum_i w_i(x, t) e_i(x, t). All are
    predictions of one kind, that of the main model. Weights may change with the timestep (arXiv 2211.01324) and from
    place to place (arXiv 2302.02412); a model that counts nothing in a view is not asked.
    """

    models: Shares = Field(
        default={},
        description="What each model counts, {NAME: WEIGHT}, or {NAME: {weight, prompt, adds, negative-prompt, "
        "guidance-scale, guidance-interval}}; by default all of the recipe's models count alike.",
    )
    spans: dict[str, Stretch] = Field(
        default={},
        description="Stretches of the run in which other weights hold, by names of your choice: {NAME: {from, to, "
        "weights}}.",
    )
    soft_change: Number = Field(
        default=0.0,
        ge=0,
        description="Over how much of the noise schedule weights change around the ends of spans, as a fraction such "
        "as 0.1, or in timesteps above 1; 0 is from one step to the next.",
    )
    boxes: dict[str, WeightedBox] = Field(
        default={},
        description="Rectangles in which other weights hold, by names of your choice: {NAME: {box, weights}}.",
    )
    masks: dict[str, WeightedMask] = Field(
        default={}, description="Painted places in which other weights hold, likewise: {NAME: {mask, weights}}."
    )
    regions: dict[str, Weights] = Field(
        default={},
        description="What the models count in regions of the plugin regions, by their names: {NAME: {MODEL: WEIGHT}}.",
    )

    _layers = StageCache(object)

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """Models and regions that are not there, places that can't be used, and spans that hold no step."""
        from fusionkit_weightedmean.checks import problems

        if stage.index:
            return []
        return [f"{self.plugin_name}: {problem}" for problem in problems(self, stage)]

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        """The weighted mean of the models' guided predictions."""
        import torch

        if not (group := chosen(patches)).views:
            return spread(patches, group.latents)
        answer = torch.zeros_like(group.latents)
        weighing = self.weighing(stage, at, group)
        for number, name in enumerate(weighing.names):
            if not (views := weighing.asked(number)):
                continue
            share = self.share(name)
            part = share.asked(group if len(views) == len(group.views) else group.picked(views))
            said = stage.models[name].predict(stage, at, part, share.guidance_scale, share.guidance_interval)
            answer[views] += weighing.values[views, number : number + 1].to(said) * said
        return spread(patches, answer)

    @hookimpl
    def forward_passes(self, stage: Stage, at: Step, patches: Patches) -> int:
        """Each view once, or with guidance twice, for each model that counts anything in it."""
        if not (group := chosen(patches)).views:
            return 0
        weighing, passes = self.weighing(stage, at, group), 0
        for number, name in enumerate(weighing.names):
            share = self.share(name)
            scales = scales_of(stage, at, group, share.guidance_scale, share.guidance_interval)
            passes += sum(stage.infos[name].passes(scales[view]) for view in weighing.asked(number))
        return passes

    @property
    def other_models(self) -> set[str] | None:
        """Those that have a weight anywhere; None where all models count alike."""
        return set(self.named) if self.models else None

    @property
    def named(self) -> dict[str, str]:
        """The models that have a weight anywhere, each with the option that names it first."""
        weights: dict[str, Mapping[str, object]] = {"models": self.models}
        weights |= {f"spans.{name}": span.weights for name, span in self.spans.items()}
        weights |= {f"boxes.{name}": box.weights for name, box in self.boxes.items()}
        weights |= {f"masks.{name}": mask.weights for name, mask in self.masks.items()}
        weights |= {f"regions.{name}": each for name, each in self.regions.items()}
        found: dict[str, str] = {}
        for where, each in weights.items():
            for name in each:
                found.setdefault(name, where)
        return found

    def share(self, name: str) -> Share:
        """What a model counts and is asked."""
        return self.models.get(name) or Share()

    def at(self, stage: Stage, at: Step) -> dict[str, float]:
        """What the models count at a step outside of all places; it adds up to 1, and has none that count nothing."""
        from fusionkit_weightedmean.weights import at_time

        usual = {name: share.weight for name, share in self.models.items()} or dict.fromkeys(stage.infos, 1.0)
        if not self.spans:
            return normalised(usual)
        remaining, timesteps = stage.scheduler.remaining(at.timestep), training_timesteps(stage)
        return at_time(usual, self.spans, remaining, timesteps, self.soft_change)

    def weighing(self, stage: Stage, at: Step, patches: Patches) -> Weighing:
        """What the models count in each view of a group at a step.

        A view that another plugin tells to ask one model asks that one alone, and one that is told a region of
        `regions` has that one's weights.
        """
        from fusionkit_weightedmean.weights import in_views

        own = [self.own(told) for told in patches.told] or [None] * len(patches.views)
        return in_views(self.at(stage, at), patches, own, self.places, self.layers(stage))

    @property
    def places(self) -> list[Place]:
        """All places with weights of their own."""
        return [*self.boxes.values(), *self.masks.values()]

    def layers(self, stage: Stage) -> Any:
        """What is around all places, and what each of them counts on the stage's canvas; None where there are none."""
        kept = self._layers.get(stage)
        if self.places and kept is None:
            from fusionkit_weightedmean.weights import layers_on

            kept = self._layers.set(stage, layers_on(stage, self.places))
        return kept

    def own(self, told: Told) -> Mapping[str, float] | None:
        """The weights of a view that is told something of its own; None for those of its place."""
        if told.model:
            return {told.model: 1.0}
        return normalised(self.regions[told.part]) if told.part in self.regions else None
