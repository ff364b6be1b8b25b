"""Groups of which some views are not to be predicted: whoever leaves them out fills them in, around `noise_prediction`.

A group's prediction has NaN where nobody has filled it, so that what is forgotten is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fusionkit.errors import PluginError
from fusionkit.loop.finite import is_finite

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.stage import LeftOut, Patches, Stage


def chosen(patches: Patches) -> Patches:
    """The group of those views alone that are to be predicted; the group itself where all are."""
    if patches.predict is None:
        return patches
    return replace(patches.picked(patches.asked), left_out=())


def spread(patches: Patches, values: Tensor) -> Tensor:
    """What was computed of `chosen(patches)`, (p, ...), as (P, ...): NaN for the views that were left out."""
    if patches.predict is None:
        return values
    whole = values.new_full((len(patches.views), *values.shape[1:]), float("nan"))
    whole[patches.asked] = values
    return whole


def filled(prediction: Tensor, predict: Sequence[bool], values: Tensor) -> Tensor:
    """A prediction (P, C, h, w), with `values` in place of the views that were not to be predicted.

    Args:
        prediction: As the others answered it; what stands in those views does not count.
        predict: P booleans.
        values: Broadcastable to (P, C, h, w).
    """
    import torch

    keep = torch.tensor(predict, device=prediction.device).reshape(-1, 1, 1, 1)
    return torch.where(keep, prediction, values)


def check_filled(stage: Stage, patches: Patches) -> None:
    """Note whether the views that a group leaves out have been filled in, and by whom they should have been."""
    for each in patches.left_out:
        _note_filled(stage, patches, patches.prediction, each, range(len(patches.views)))


class Owed:
    """What an implementation of `noise_prediction` owes: the views of the group as it was asked.

    Args:
        patches: The group.
    """

    def __init__(self, patches: Patches) -> None:
        self._patches = patches
        self._before = self._inside = patches.left_out
        self._asked = patches.asked

    def lends(self) -> None:
        """Remember what a wrapper asks of the others."""
        self._inside = self._patches.left_out

    @property
    def wrong(self) -> str:
        """What an implementation did that it must not; empty where it did nothing of the kind."""
        if self._patches.left_out != self._before:
            return "did not take back what it left out; use 'with patches.only(...)' around its yield"
        if self._inside[: len(self._before)] != self._before:
            return "asks for views that another plugin left out; narrow it with 'patches.only(...)'"
        return ""

    def rows(self, answer: Tensor) -> Tensor:
        """The rows of an answer that must be there."""
        return answer[self._asked] if self._before else answer

    def note(self, stage: Stage, answer: Tensor) -> None:
        """Note whether the views that the implementation itself left out have been filled in."""
        for each in self._inside[len(self._before) :]:
            _note_filled(stage, self._patches, answer, each, self._asked)


def _note_filled(stage: Stage, patches: Patches, values: Tensor, left: LeftOut, among: Sequence[int]) -> None:
    numbers = [number for number in among if not left.predict[number]]
    if not numbers:
        return
    count = f"{len(numbers)} of {len(patches.views)} views of kind '{patches.kind}'"

    def wrong(where: str) -> PluginError:
        return PluginError(
            f"{where}: plugin '{left.by}' left out {count}, the first number {numbers[0]}, and did not fill them with "
            f"finite numbers; do so around 'noise_prediction'"
        )

    stage.facts.note(is_finite(values[numbers]), wrong)
