"""Whether the numbers of a run are finite, and who was the first whose were not, without waiting for a GPU.

Importing this needs no torch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from fusionkit.errors import FusionError, NumericalError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fusionkit.recipe.recipe import Recipe

# How many steps a GPU may be ahead of what is known of its numbers.
_AHEAD = 2
# Scaled latents have numbers of a few units.
_NO_LATENTS = 1e4


@dataclass(frozen=True)
class _Copied:
    """The facts of one step, on their way from a GPU."""

    where: str
    wrong: list[Callable[[str], FusionError]]
    facts: Any
    event: Any


class Facts:
    """What must be true of a stage's tensors, in the order in which they were computed.

    A fact is a boolean tensor on the tensors' own device. On a CPU it is looked at when its step ends. On a GPU the
    facts of a step are copied beside the computation, and looked at a step or two later, when the copy has come.
    """

    def __init__(self) -> None:
        self._noted: list[tuple[Tensor, Callable[[str], FusionError]]] = []
        self._copied: deque[_Copied] = deque()

    def note(self, fact: Tensor, wrong: Callable[[str], FusionError]) -> None:
        """Remember a fact (a boolean without axes), and the error where it is not so, made of where that was."""
        self._noted.append((fact, wrong))

    def step_ends(self, where: str) -> None:
        """Send off what was noted since the last step, and look at what is known by now.

        Args:
            where: What ends, as errors name it: "stage 1, step 3 of 20".

        Raises:
            FusionError: The first fact that is not so.
        """
        if self._noted:
            facts, wrong = zip(*self._noted, strict=True)
            self._noted.clear()
            self._copied.append(_Copied(where, list(wrong), *_copy([fact.reshape(()) for fact in facts])))
        while self._copied and (self._copied[0].event is None or self._copied[0].event.query()):
            self._look()
        while len(self._copied) > _AHEAD:
            self._look()

    def wait(self, where: str) -> None:
        """Look at everything that was noted; raises as `step_ends` does."""
        self.step_ends(where)
        while self._copied:
            self._look()

    def forget(self) -> None:
        """Begin anew."""
        self._noted.clear()
        self._copied.clear()

    def _look(self) -> None:
        copied = self._copied.popleft()
        if copied.event is not None:
            copied.event.synchronize()
        known = copied.facts if copied.event is None else copied.facts.tolist()
        if not all(known):
            self.forget()
            raise copied.wrong[known.index(False)](copied.where)


def _copy(facts: list[Tensor]) -> tuple[list[bool] | Tensor, Any]:
    """The facts on the CPU, and the event after which they are there; None where they are there already."""
    # Several models may be on several devices.
    device = facts[-1].device
    if device.type not in ("cuda", "xpu"):
        return [bool(fact) for fact in facts], None
    import torch

    together = torch.stack([fact.to(device, non_blocking=True) for fact in facts])
    facts_here = torch.empty(together.shape, dtype=torch.bool, pin_memory=True)
    facts_here.copy_(together, non_blocking=True)
    event = getattr(torch, device.type).Event()
    event.record()
    return facts_here, event


def is_finite(tensor: Tensor) -> Tensor:
    """Whether all numbers of a floating-point tensor are finite: a boolean without axes, on the tensor's device."""
    if tensor.numel() == 0 or tensor.device.type not in ("cpu", "cuda"):
        return tensor.isfinite().all()
    # One pass in place of five. Both are NaN where any number is, and nothing is added up that could overflow.
    least, largest = tensor.aminmax()
    return (least > -inf) & (largest < inf)


class Noting(Protocol):
    """A stage, as far as facts are noted of it."""

    index: int
    facts: Facts


def note_finite(stage: Noting, tensor: Tensor, whose: str, instead: str | Callable[[], str]) -> None:
    """Remember whether a tensor is finite.

    Args:
        stage: The stage it belongs to.
        tensor: Of any shape and floating-point type.
        whose: What it is, as an error begins: "the prediction of model 'scene'".
        instead: What to change if it is not, as an error ends; or what says so, asked only then.
    """
    dtype = tensor.dtype

    def wrong(where: str) -> NumericalError:
        change = instead if isinstance(instead, str) else instead()
        return NumericalError(f"{where}: {not_finite(whose, type_name(dtype))}; {change}")

    stage.facts.note(is_finite(tensor), wrong)


def check_finite(tensor: Tensor, whose: str, instead: str) -> None:
    """Check at once that a tensor is finite; for what is computed once, where waiting costs nothing.

    Raises:
        NumericalError: It is not.
    """
    if not bool(is_finite(tensor)):
        raise NumericalError(f"{not_finite(whose, type_name(tensor.dtype))}; {instead}")


def not_finite(whose: str, dtype: str) -> str:
    """What is wrong, in words."""
    return f"{whose} has values that are not finite (NaN or infinity, in {dtype})"


def type_name(dtype: torch.dtype) -> str:
    """`float16`."""
    return str(dtype).removeprefix("torch.")


def place(stage: Noting, at: Any = None) -> str:
    """Where a run is, as its errors say it: `stage 1, step 3 of 20`."""
    stage_name = f"stage {stage.index + 1}"
    return f"{stage_name}, before its first step" if at is None else f"{stage_name}, step {at.index + 1} of {at.total}"


def smaller_numbers(inputs: Tensor) -> str:
    """What to change where a model failed because of what it was given; empty where that was as it should be.

    Args:
        inputs: The latents that it was given, scaled as the scheduler scales them: numbers of a few units.
    """
    largest = float(inputs.abs().max())
    if not largest > _NO_LATENTS:
        return ""
    return (
        f"it was given numbers up to {largest:.0e} by the steps before: use a smaller guidance-scale, or leave out the "
        "plugins that change predictions"
    )


def wider_type(dtype: torch.dtype, recipe: Recipe | None = None) -> str:
    """What to change where a model's own numbers are not finite: its type, or else its weights or LoRAs."""
    if type_name(dtype) == "float16":
        return "float16 holds numbers up to 65504: use dtype: float32, or bfloat16 where the device has it"
    if recipe is not None and any(spec.loras for spec in recipe.specs.values()):
        return "its weights, or a LoRA's, are damaged or do not fit: leave out the LoRAs, or lower their scale"
    return "its weights are damaged, or do not fit what they are asked: try another copy of the model"
