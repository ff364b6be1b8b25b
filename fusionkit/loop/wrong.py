"""What checks of answers share: a question to a hook, words for what is wrong, and what numbers, sizes and tensors are.

Importing this needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

from fusionkit.loop.stage import Prompt, Stage

if TYPE_CHECKING:
    import torch


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


def check_sequence(answer: Any, expected: str) -> None:
    """Check that an answer is a list or a tuple with something in it.

    Raises:
        WrongAnswer: It is not.
    """
    if not isinstance(answer, (list, tuple)):
        refuse(answer, expected)
    if not answer:
        raise WrongAnswer(f"an empty {type(answer).__name__}; expected {expected}")


def is_size(size: Any) -> bool:
    """Whether it is (width, height), whole numbers from 1."""
    return isinstance(size, (tuple, list)) and len(size) == 2 and all(is_whole(each, 1) for each in size)


def is_whole(value: Any, least: int) -> bool:
    """Whether it is a whole number of at least so much."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def is_prompt(prompt: Any) -> bool:
    """Whether it is a text, or a `Prompt` of texts."""
    if isinstance(prompt, Prompt):
        return isinstance(prompt.text, str) and (prompt.negative is None or isinstance(prompt.negative, str))
    return isinstance(prompt, str)
