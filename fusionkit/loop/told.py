"""Views that are told something of their own: whom each asks, how strongly it is guided, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from fusionkit.errors import PluginError, RecipeError
from fusionkit.loop.partly import chosen, spread
from fusionkit.loop.patches import Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.model import Model
    from fusionkit.loop.stage import Patches, Stage, Step
    from fusionkit.plugin import Plugin

STEERING = ("controls", "image_prompts")
"""What plugins add to a group that steers its prediction, as `Plugin.steers` names it."""


def prompts_of(stage: Stage, patches: Patches) -> list[Prompt]:
    """What each of the P views is to show: what it is told, or the recipe's prompt."""
    own = Prompt(stage.recipe.prompt)
    if not patches.told:
        return [own] * len(patches.views)
    return [own if each.prompt is None else each.prompt for each in patches.told]


def models_of(stage: Stage, patches: Patches) -> list[str]:
    """Which of the recipe's models predicts each of the P views, by name."""
    main = next(iter(stage.infos))
    return [each.model or main for each in patches.told] or [main] * len(patches.views)


def scales_of(
    stage: Stage,
    at: Step,
    patches: Patches,
    scale: float | None = None,
    interval: tuple[float, float] | None = None,
) -> list[float]:
    """The guidance scale of each of the P views at a step: 1, which is no guidance, outside of the interval.

    Args:
        stage: The stage.
        at: The step.
        patches: The group.
        scale: For all of them; None is what each is told, or the recipe's.
        interval: As `Stage.guidance_at` takes it.
    """
    if scale is not None or not patches.told:
        return [stage.guidance_at(at, scale, interval)] * len(patches.views)
    return [stage.guidance_at(at, each.guidance_scale, interval) for each in patches.told]


def passes_of(stage: Stage, at: Step, patches: Patches) -> int:
    """How many times the views that are asked for go through a denoiser, each predicted by `Model.predict` once."""
    names, scales = models_of(stage, patches), scales_of(stage, at, patches)
    return sum(stage.infos[names[number]].passes(scales[number]) for number in patches.asked)


def by_model(stage: Stage, patches: Patches, predict: Callable[[Model, Patches], Tensor]) -> Tensor:
    """A group's prediction (P, ...), of which each model predicts the views that are told to ask it.

    Args:
        stage: The stage.
        patches: The group, with latents and prompts; what it leaves out is NaN in the answer.
        predict: Asked for each model and the group of its views, one after the other; (p, ...).
    """
    if not any(each.model for each in patches.told):
        return predict(stage.model, patches)
    group = chosen(patches)
    names, answer = models_of(stage, group), None
    for name in dict.fromkeys(names):
        numbers = [number for number, each in enumerate(names) if each == name]
        part = predict(stage.models[name], group.picked(numbers))
        answer = part.new_empty(len(names), *part.shape[1:]) if answer is None else answer
        answer[numbers] = part
    return spread(patches, group.latents if answer is None else answer)


def asked_of_main(stage: Stage, patches: Patches) -> list[int]:
    """The numbers of the views that are to be predicted by the main model."""
    main, names = next(iter(stage.infos)), models_of(stage, patches)
    return [number for number in patches.asked if names[number] == main]


def refuse_told(patches: Patches, by: Plugin, instead: str, *, models_alone: bool = False) -> None:
    """For a plugin that can't follow what views are told: say so, before the run from `forward_passes`.

    Args:
        patches: The group.
        by: The plugin.
        instead: Why, and what to do.
        models_alone: Whether prompts and guidance can be followed.

    Raises:
        PluginError: A view is told to ask another model, or anything at all.
    """
    if any(each.model if models_alone else each.prompt or each.guidance_scale is not None for each in patches.told):
        raise PluginError(f"{by.plugin_name}: {instead}")


def refuse_steered(
    stage: Stage, at: Step, patches: Patches, by: Plugin, instead: str, kinds: Collection[str] = STEERING
) -> None:
    """For a plugin whose prediction others can't steer: say so, before the run from `forward_passes`.

    Args:
        stage: The stage.
        at: The step.
        patches: The group.
        by: The plugin.
        instead: Why, and what to do.
        kinds: What it does not go with, as `Plugin.steers` names it.

    Raises:
        RecipeError: Another plugin adds such to the group.
    """
    for other in stage.recipe.plugins:
        if not set(kinds).isdisjoint(other.steers(stage, at, patches)):
            raise RecipeError([f"{by.plugin_name}: '{other.plugin_name}' can't steer what it draws: {instead}"])


def one_or_each(scales: Sequence[float]) -> float | list[float]:
    """One number, where all views are guided alike, or one for each."""
    return scales[0] if len(set(scales)) == 1 else list(scales)
