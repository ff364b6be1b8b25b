"""What may be answered where a run is planned: stages, and groups of views. Importing this needs no torch."""

from __future__ import annotations

from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

from fusionkit.loop.finite import is_finite
from fusionkit.loop.stage import LeftOut, Patches, Prompt, Stage, StagePlan, Told
from fusionkit.loop.views import WRAPS, View
from fusionkit.loop.wrong import (
    Call,
    WrongAnswer,
    check_sequence,
    check_tensor,
    is_number,
    is_prompt,
    is_size,
    is_whole,
    shown,
)

_ANY = -(2**62)
# Of a view: height, width and dilation; all of its numbers, and what each is at least.
_SIDES = itemgetter(2, 3, 4)
_ACROSS = itemgetter(6)
_NUMBERS = itemgetter(0, 1, 2, 3, 4, 6)
_LEAST = (_ANY, _ANY, 1, 1, 1, 0)
_RINGS = frozenset(WRAPS)
_WRITTEN_WRAPS = ", ".join(map(repr, WRAPS))


def check_plans(call: Call, answer: Any) -> Any:
    """Check an answer to `plan_stages`.

    Raises:
        WrongAnswer: The loop can't use it.
    """
    check_sequence(answer, "a list of StagePlans, first to last")
    for plan in answer:
        if not isinstance(plan, StagePlan):
            raise WrongAnswer(f"a list with {shown(plan)}; expected StagePlans")
        _size(plan.size, "size")
        if plan.steps is not None:
            _whole(plan.steps, 1, "steps", "None or a whole number from 1")
        if not isinstance(plan.name, str):
            raise WrongAnswer(f"a StagePlan with name {shown(plan.name)}; expected text")
        for name, path in (("picture", plan.picture), ("network", plan.network)):
            if path is not None and not isinstance(path, Path):
                raise WrongAnswer(f"a StagePlan with {name} {shown(path)}; expected None or a Path")
        if plan.picture_size is not None:
            _size(plan.picture_size, "picture_size")
        if plan.told is not None:
            _size(plan.told, "told")
        if plan.frame is not None:
            _size(plan.frame, "frame")
            if any(own > side for own, side in zip(plan.frame, plan.size, strict=True)):
                raise WrongAnswer(f"a StagePlan with frame {plan.frame} beyond its size; expected a part of it")
        _strength(plan, first=plan is answer[0])
        if plan.wrap not in WRAPS:
            raise WrongAnswer(f"a StagePlan with wrap {shown(plan.wrap)}; expected one of {_WRITTEN_WRAPS}")
    return answer


def _strength(plan: StagePlan, first: bool) -> None:
    strength = plan.strength
    if strength is None:
        return
    number = isinstance(strength, (int, float)) and not isinstance(strength, bool)
    if not number or not 0 < strength <= 1:
        raise WrongAnswer(f"a StagePlan with strength {shown(strength)}; expected None or a number above 0, up to 1")
    if first and plan.picture is None:
        raise WrongAnswer(
            f"a first StagePlan with strength {strength:g} and no picture, so that there is nothing to begin with; "
            f"expected a picture, or a stage before it"
        )


def _size(size: Any, name: str) -> None:
    if not is_size(size):
        raise WrongAnswer(f"a StagePlan with {name} {size!r:.60}; expected (width, height), whole numbers from 1")


def _whole(value: Any, least: int, name: str, expected: str) -> None:
    if not is_whole(value, least):
        raise WrongAnswer(f"a StagePlan with {name} {shown(value)}; expected {expected}")


def check_groups(call: Call, answer: Any) -> Any:
    """Check an answer to `views`.

    Raises:
        WrongAnswer: The loop can't use it.
    """
    check_sequence(answer, "a list of Patches, one for each group of views")
    for number, patches in enumerate(answer):
        if not isinstance(patches, Patches):
            raise WrongAnswer(f"a list with {shown(patches)}; expected Patches")
        _group(patches, f"group {number}", call.stage)
    return answer


def _group(patches: Patches, name: str, stage: Stage | None) -> None:
    """Check one group of views, but for whether it covers the canvas."""
    _views(patches.views, name)
    if not isinstance(patches.kind, str):
        raise WrongAnswer(f"{name} with kind {shown(patches.kind)}; expected text")
    share = patches.share
    if not is_number(share) or share < 0:
        raise WrongAnswer(f"{name} with share {shown(share)}; expected a number from 0")
    _left_out(patches, name)
    _told(patches, name, stage)
    if patches.views:
        _weights(patches, name, planned=stage is None or stage.model is None)
        if patches.noise is not None and stage is not None:
            shape = (len(patches.views), stage.shape[1], *patches.size)
            check_tensor(patches.noise, shape, stage.dtype, stage.device, f" as noise of {name}")
            if stage.model is None and not bool(is_finite(patches.noise)):
                raise WrongAnswer(f"{name} with noise that is NaN or infinite; expected numbers")


def _left_out(patches: Patches, name: str) -> None:
    for each in patches.left_out if isinstance(patches.left_out, tuple) else (None,):
        if not isinstance(each, LeftOut) or len(each.predict) != len(patches.views):
            raise WrongAnswer(
                f"{name} with left_out {patches.left_out!r:.60}; expected what 'patches.narrowed' makes, of P booleans"
            )


def _told(patches: Patches, name: str, stage: Stage | None) -> None:
    if patches.told == ():
        return
    expected = f"expected a tuple of {len(patches.views)} Tolds, one a view, or none"
    if not isinstance(patches.told, tuple) or len(patches.told) != len(patches.views):
        raise WrongAnswer(f"{name} with told {patches.told!r:.60}; {expected}")
    for each in dict.fromkeys(patches.told):
        if not isinstance(each, Told):
            raise WrongAnswer(f"{name} with told {shown(each)}; {expected}")
        scale = each.guidance_scale
        if each.prompt is not None and not (isinstance(each.prompt, Prompt) and is_prompt(each.prompt)):
            raise WrongAnswer(f"{name} with a view told the prompt {shown(each.prompt)}; expected None or a Prompt")
        if scale is not None and (not is_number(scale) or scale < 0):
            raise WrongAnswer(
                f"{name} with a view told the guidance_scale {shown(scale)}; expected None or a number from 0"
            )
        if each.model != "" and stage is not None and each.model not in stage.infos:
            names = ", ".join(stage.infos)
            raise WrongAnswer(f"{name} with a view told the model {shown(each.model)}; expected '' or one of {names}")


def _views(views: Any, name: str) -> None:
    if not isinstance(views, (tuple, list)):
        raise WrongAnswer(f"{name} with views {shown(views)}; expected a tuple of Views")
    # There may be thousands, at every step: one by one they are looked at where something is odd.
    usual = {*map(type, views)} == {View} and {*map(type, chain.from_iterable(map(_NUMBERS, views)))} == {int}
    positive = usual and min(map(min, map(_SIDES, views))) >= 1 and min(map(_ACROSS, views)) >= 0
    if positive and {view.wrap for view in views} <= _RINGS:
        return
    for view in views:
        if not isinstance(view, View):
            raise WrongAnswer(f"{name} with views {shown(view)}; expected a tuple of Views")
        if not all(map(is_whole, _NUMBERS(view), _LEAST)):
            raise WrongAnswer(f"{name} with {view!r:.120}; expected whole numbers, sides and dilation from 1")
        if view.wrap not in WRAPS:
            raise WrongAnswer(f"{name} with {view!r:.120}; expected a wrap of {_WRITTEN_WRAPS}")


def _weights(patches: Patches, name: str, planned: bool) -> None:
    """Check a group's weights; their values only before the run, since a GPU would have to be waited for."""
    if patches.weights is None:
        return
    import torch

    weights, shape = patches.weights, (len(patches.views), 1, *patches.size)
    fits = isinstance(weights, torch.Tensor) and weights.is_floating_point() and weights.ndim <= 4
    if not fits or any(a not in (1, b) for a, b in zip(reversed(weights.shape), reversed(shape), strict=False)):
        raise WrongAnswer(
            f"{name} with weights {shown(weights)}; expected a floating-point tensor that broadcasts to {shape}"
        )
    if planned and not bool(is_finite(weights)):
        raise WrongAnswer(f"{name} with weights that are NaN or infinite; expected numbers")
