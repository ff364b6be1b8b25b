"""What each hook may answer: one check a hook, which says what was answered instead, and what is expected.

Importing this needs no torch, and neither do the checks of what is asked without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import isfinite
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from fusionkit.loop.finite import is_finite
from fusionkit.loop.stage import Fused, LeftOut, Masked, Patches, Prompt, Stage, StagePlan, Told
from fusionkit.loop.views import WRAPS, View

if TYPE_CHECKING:
    import torch

_SAVED_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")


@dataclass(frozen=True)
class Call:
    """One question to a hook, of which its answers are checked.

    Args:
        hook: Its name.
        given: Its arguments, by name.
    """

    hook: str
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stage(self) -> Stage | None:
        """The stage that is asked about, where there is one."""
        stage = self.given.get("stage")
        return stage if isinstance(stage, Stage) else None


class WrongAnswer(Exception):  # noqa: N818 - it becomes a PluginError, which names the plugin
    """An answer that the loop can't use: what it is, and what is expected."""


def check_answer(call: Call, answer: Any) -> Any:
    """An answer that the loop can use: the one that was given, but for lines that were to be made one by one.

    Raises:
        WrongAnswer: It is of another kind.
    """
    check = _CHECKS.get(call.hook)
    if check is None:
        return answer
    return check(call, answer)


def check_gathered(call: Call, answers: Any) -> Any:
    """The answers of all plugins to a hook that gathers them, such as `check`, as a wrapper around them gives them.

    Raises:
        WrongAnswer: They are no list, or one of them is of another kind.
    """
    if answers is None and _CHECKS[call.hook] is _nothing:
        return []
    if not isinstance(answers, (list, tuple)):
        refuse(answers, "a list of the answers of all plugins, as 'yield' gives it")
    return [check_answer(call, answer) for answer in answers]


def check_tensor(answer: Any, shape: Sequence[int], dtype: torch.dtype, device: torch.device, what: str = "") -> None:
    """Check an answer's shape, type and device; `what` tells which part of the answer it is.

    Raises:
        WrongAnswer: They are not as asked for.
    """
    import torch

    fits = (
        isinstance(answer, torch.Tensor)
        and tuple(answer.shape) == tuple(shape)
        and (answer.dtype, answer.device, answer.layout) == (dtype, device, torch.strided)
    )
    if not fits:
        raise WrongAnswer(f"{shown(answer)}{what}; expected {tuple(shape)} {dtype} on {device}")


def refuse(answer: Any, expected: str) -> NoReturn:
    """Say that an answer is not what is expected.

    Raises:
        WrongAnswer: Always.
    """
    raise WrongAnswer(f"{shown(answer)}; expected {expected}")


def shown(answer: Any) -> str:
    """An answer in a few words."""
    if answer is None:
        return "None"
    if type(answer).__name__ == "Tensor":
        layout = "" if str(answer.layout) == "torch.strided" else f" {answer.layout}"
        return f"{tuple(answer.shape)} {answer.dtype}{layout} on {answer.device}"
    if isinstance(answer, (str, bytes, bool, int, float)):
        return f"{answer!r:.60}"
    if isinstance(getattr(answer, "mode", None), str) and hasattr(answer, "size"):
        return f"a picture, {answer.mode}, {answer.size[0]}x{answer.size[1]}"
    return type(answer).__name__


def _lines(call: Call, answer: Any) -> Any:
    """Of `check`: lines, which may be made one by one; None is none."""
    if answer is None:
        return []
    expected = "lines of text, one for each problem"
    if not isinstance(answer, Iterable) or isinstance(answer, (str, bytes, Mapping)) or _is_tensor(answer):
        refuse(answer, expected)
    lines = list(answer)
    for line in lines:
        if not isinstance(line, str) or not line.strip():
            raise WrongAnswer(f"{type(answer).__name__} with {shown(line)}; expected {expected}")
    return [" ".join(line.split()) for line in lines]


def _plans(call: Call, answer: Any) -> Any:
    _sequence(answer, "a list of StagePlans, first to last")
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


def _yes_or_no(call: Call, answer: Any) -> Any:
    if not isinstance(answer, bool):
        refuse(answer, "True or False")
    return answer


def _default_size(call: Call, answer: Any) -> Any:
    if not _is_size(answer):
        refuse(answer, "(width, height), whole numbers from 1")
    return answer


def _is_size(size: Any) -> bool:
    return isinstance(size, (tuple, list)) and len(size) == 2 and all(_is_whole(each, 1) for each in size)


def _size(size: Any, name: str) -> None:
    if not _is_size(size):
        raise WrongAnswer(f"a StagePlan with {name} {size!r:.60}; expected (width, height), whole numbers from 1")


def _whole(value: Any, least: int, name: str, expected: str) -> None:
    if not _is_whole(value, least):
        raise WrongAnswer(f"a StagePlan with {name} {shown(value)}; expected {expected}")


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _groups(call: Call, answer: Any) -> Any:
    _sequence(answer, "a list of Patches, one for each group of views")
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
    if not _is_number(share) or share < 0:
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
        if each.prompt is not None and not (isinstance(each.prompt, Prompt) and _is_prompt(each.prompt)):
            raise WrongAnswer(f"{name} with a view told the prompt {shown(each.prompt)}; expected None or a Prompt")
        if scale is not None and (not _is_number(scale) or scale < 0):
            raise WrongAnswer(
                f"{name} with a view told the guidance_scale {shown(scale)}; expected None or a number from 0"
            )
        if each.model != "" and stage is not None and each.model not in stage.infos:
            names = ", ".join(stage.infos)
            raise WrongAnswer(f"{name} with a view told the model {shown(each.model)}; expected '' or one of {names}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


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
        if not all(map(_is_whole, _NUMBERS(view), _LEAST)):
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


def _canvas(call: Call, answer: Any) -> Any:
    """Of hooks that answer a whole canvas."""
    if (stage := call.stage) is not None:
        check_tensor(answer, stage.shape, stage.dtype, stage.device)
    return answer


def _prediction(call: Call, answer: Any) -> Any:
    if (stage := call.stage) is not None:
        check_tensor(answer, call.given["patches"].latents.shape, stage.dtype, stage.device)
    return answer


def _encoded(call: Call, answer: Any) -> Any:
    if (stage := call.stage) is not None:
        width, height = call.given["picture"].size
        shape = (1, stage.shape[1], height // stage.factor, width // stage.factor)
        check_tensor(answer, shape, stage.dtype, stage.device)
    return answer


def _masked(call: Call, answer: Any) -> Any:
    if not isinstance(answer, Masked):
        raise WrongAnswer(f"{'None' if answer is None else type(answer).__name__}; expected a Masked")
    if (stage := call.stage) is not None:
        width, height = stage.plan.size
        check_tensor(answer.mask, (1, 1, height, width), stage.dtype, stage.device, " as mask")
        check_tensor(answer.picture, stage.shape, stage.dtype, stage.device, " as picture")
    return answer


def _decoded(call: Call, answer: Any) -> Any:
    from PIL.Image import Image

    height, width = call.given["latents"].shape[-2:]
    factor = 1 if call.stage is None else call.stage.factor
    size = width * factor, height * factor
    if not isinstance(answer, Image) or answer.mode != "RGB" or answer.size != size:
        refuse(answer, f"a picture of Pillow, RGB, {size[0]}x{size[1]} pixels")
    return answer


def _prompts(call: Call, answer: Any) -> Any:
    count = len(call.given["patches"].views)
    fits = isinstance(answer, (list, tuple)) and len(answer) == count
    if not fits or not all(_is_prompt(prompt) for prompt in answer):
        got = f"{answer!r:.60}" if isinstance(answer, (list, tuple)) else shown(answer)
        raise WrongAnswer(f"{got}; expected {count} strings or Prompts, one a view")
    return answer


def _is_prompt(prompt: Any) -> bool:
    if isinstance(prompt, Prompt):
        return isinstance(prompt.text, str) and (prompt.negative is None or isinstance(prompt.negative, str))
    return isinstance(prompt, str)


def _passes(call: Call, answer: Any) -> Any:
    if not _is_whole(answer, 0):
        refuse(answer, "a whole number from 0")
    return answer


def _rounds(call: Call, answer: Any) -> Any:
    if not _is_whole(answer, 1):
        refuse(answer, "a whole number from 1")
    return answer


def _fused(call: Call, answer: Any) -> Any:
    if not isinstance(answer, Fused):
        raise WrongAnswer(f"{'None' if answer is None else type(answer).__name__}; expected a Fused")
    if (stage := call.stage) is not None:
        for name in ("prediction", "noise", "denoised", "moved"):
            tensor = getattr(answer, name)
            if name == "prediction" or tensor is not None:
                check_tensor(tensor, stage.shape, stage.dtype, stage.device, f" as {name}")
    return answer


def _xmp(call: Call, answer: Any) -> Any:
    if not isinstance(answer, str):
        refuse(answer, "text: an XMP packet, or nothing of it")
    if not all(char.isprintable() or char in "\t\n\r\ufeff" for char in answer):
        raise WrongAnswer(f"{shown(answer)}; expected text without control characters")
    return answer


def _exif(call: Call, answer: Any) -> Any:
    from PIL.Image import Exif

    expected = "bytes: EXIF as Pillow writes it, or nothing of it"
    if not isinstance(answer, bytes):
        refuse(answer, expected)
    try:
        Exif().load(answer)
    except Exception:  # noqa: BLE001 - what is no EXIF raises anything
        raise WrongAnswer(f"{shown(answer)}; expected {expected}") from None
    return answer


def _maps(call: Call, answer: Any) -> Any:
    """Of `maps`: pictures by name; None is none."""
    if answer is None:
        return {}
    from PIL.Image import Image

    if not isinstance(answer, Mapping):
        refuse(answer, "pictures by name: a mapping of text to pictures of Pillow")
    for name, picture in answer.items():
        if not isinstance(name, str) or not re.fullmatch(r"[\w+-]{1,60}", name):
            raise WrongAnswer(f"the name {name!r:.60}; expected up to 60 letters, digits and -")
        if not isinstance(picture, Image) or not all(picture.size):
            raise WrongAnswer(f"{shown(picture)} for '{name}'; expected a picture of Pillow")
        if picture.mode not in _SAVED_MODES:
            raise WrongAnswer(
                f"a picture of mode {picture.mode} for '{name}'; expected one that PNG holds, such as RGB"
            )
    return answer


def _nothing(call: Call, answer: Any) -> Any:
    if answer is not None:
        refuse(answer, "None: this hook observes, and changes nothing")
    return answer


def _sequence(answer: Any, expected: str) -> None:
    if not isinstance(answer, (list, tuple)):
        refuse(answer, expected)
    if not answer:
        raise WrongAnswer(f"an empty {type(answer).__name__}; expected {expected}")


def _is_tensor(answer: Any) -> bool:
    return hasattr(answer, "dtype")


_ANY = -(2**62)
# Of a view: height, width and dilation; all of its numbers, and what each is at least.
_SIDES = itemgetter(2, 3, 4)
_ACROSS = itemgetter(6)
_NUMBERS = itemgetter(0, 1, 2, 3, 4, 6)
_LEAST = (_ANY, _ANY, 1, 1, 1, 0)
_RINGS = frozenset(WRAPS)
_WRITTEN_WRAPS = ", ".join(map(repr, WRAPS))
_CHECKS: Mapping[str, Callable[[Call, Any], Any]] = {
    "check": _lines,
    "default_size": _default_size,
    "plan_stages": _plans,
    "keeps_composition": _yes_or_no,
    "views": _groups,
    "encode": _encoded,
    "masked": _masked,
    "init_noise": _canvas,
    "init_latents": _canvas,
    "prompt_per_patch": _prompts,
    "noise_prediction": _prediction,
    "forward_passes": _passes,
    "fuse": _fused,
    "step": _canvas,
    "rounds": _rounds,
    "noised_back": _canvas,
    "step_done": _nothing,
    "stage_done": _nothing,
    "decode": _decoded,
    "xmp": _xmp,
    "exif": _exif,
    "maps": _maps,
}
