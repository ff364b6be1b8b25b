"""What each hook may answer: one check a hook, which says what was answered instead, and what is expected.

Importing this needs no torch, and neither do the checks of what is asked without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fusionkit.loop.planned import check_groups, check_plans
from fusionkit.loop.stage import Fused, Masked
from fusionkit.loop.wrong import Call, WrongAnswer, check_tensor, is_prompt, is_size, is_whole, refuse, shown

_SAVED_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")


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


def _yes_or_no(call: Call, answer: Any) -> Any:
    if not isinstance(answer, bool):
        refuse(answer, "True or False")
    return answer


def _default_size(call: Call, answer: Any) -> Any:
    if not is_size(answer):
        refuse(answer, "(width, height), whole numbers from 1")
    return answer


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
    if not fits or not all(is_prompt(prompt) for prompt in answer):
        got = f"{answer!r:.60}" if isinstance(answer, (list, tuple)) else shown(answer)
        raise WrongAnswer(f"{got}; expected {count} strings or Prompts, one a view")
    return answer


def _passes(call: Call, answer: Any) -> Any:
    if not is_whole(answer, 0):
        refuse(answer, "a whole number from 0")
    return answer


def _rounds(call: Call, answer: Any) -> Any:
    if not is_whole(answer, 1):
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


def _is_tensor(answer: Any) -> bool:
    return hasattr(answer, "dtype")


_CHECKS: Mapping[str, Callable[[Call, Any], Any]] = {
    "check": _lines,
    "default_size": _default_size,
    "plan_stages": check_plans,
    "keeps_composition": _yes_or_no,
    "views": check_groups,
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
