"""What weighted-mean says of its options before the models load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fusionkit.errors import did_you_mean
from fusionkit.models.suits import no_such_model
from fusionkit_magicfusion.checks import span_problems
from fusionkit_magicfusion.saliency_noise_blending import training_timesteps
from fusionkit_regions import regions_of
from fusionkit_regions.checks import box_problems, mask_problems

if TYPE_CHECKING:
    from fusionkit import Stage
    from fusionkit_weightedmean.weighted_mean import MeanOfModels


def problems(plugin: MeanOfModels, stage: Stage) -> Iterator[str]:
    """One line for each model, region or place that is not there, and each stretch without a step."""
    yield from _unknown_models(plugin, list(stage.infos))
    yield from _unknown_regions(plugin, stage)
    for name, box in plugin.boxes.items():
        yield from box_problems(box.box, name, stage)
    for name, mask in plugin.masks.items():
        yield from mask_problems(mask, mask.soft_border, name, stage)
    if plugin.spans:  # without any, no scheduler is asked for
        timesteps = training_timesteps(stage)
        steps = [(float(at.timestep), stage.scheduler.remaining(at.timestep)) for at in stage.steps]
        for name, stretch in plugin.spans.items():
            yield from span_problems(stretch, timesteps, steps, f"span '{name}'")


def _unknown_models(plugin: MeanOfModels, defined: list[str]) -> Iterator[str]:
    unknown = {name: where for name, where in plugin.named.items() if name not in defined}
    if unknown and len(defined) == 1:
        names = ", ".join(f"{name}: SOURCE" for name in plugin.named)
        yield f"the recipe has one model, '{defined[0]}'; name them all: models: {{{names}}} in place of model"
        return
    for name, where in unknown.items():
        yield f"{where} names '{name}', {no_such_model(name, defined)}"


def _unknown_regions(plugin: MeanOfModels, stage: Stage) -> Iterator[str]:
    known = regions_of(stage)
    for name in plugin.regions:
        if name not in known:
            near = did_you_mean(name, known)
            there = f"there are: {', '.join(known)}" if known else "a place without that plugin goes to boxes or masks"
            yield f"regions names '{name}', which is no region of the plugin regions{near}; {there}"
