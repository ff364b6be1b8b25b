"""What metrics share that compare how much of something pictures have with how much a reference's have of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import chain
from math import exp, isnan, nan
from typing import TYPE_CHECKING, Any, ClassVar
from zlib import crc32

from fusionkit.evaluation.metric import Better, Metric

if TYPE_CHECKING:
    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

ROUNDING = 1 / 12
"""The variance of what rounding to whole steps of brightness adds: no picture has less that could be told."""


class ByPrompt(Metric):
    """The ratio of geometric means of a set and its reference, prompt by prompt.

    Geometric, since what blurs or smoothes takes a share of what is there, be it large or small: an arithmetic mean
    would be that of the few pictures with the most contrast. Where prompts are known, pictures are compared with the
    reference's of their own prompt, or the ratio would tell the subjects apart.
    """

    better: ClassVar[Better] = "closer-to-1"
    needs: ClassVar[frozenset[str]] = frozenset({"crop", "reference"})
    reference_varies: ClassVar[bool] = True

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """The base's problems, and a reference that lacks a prompt."""
        problems = super().problems(pictures, reference, tools)
        asked, known = ({picture.prompt for picture in side} for side in (pictures, reference))
        if not problems and not {None, ""} & (asked | known) and (without := sorted(map(str, asked - known))):
            problems.append(f"needs the prompts of the pictures in the reference; it has none of {without[0]!r}")
        return problems

    @abstractmethod
    def logarithms(self, picture: Picture) -> Sequence[float]:
        """The logarithms of what there is of it in parts of a picture that count alike, such as its crops."""

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The mean logarithm over the picture's parts, and a number that stands for its prompt."""
        import numpy as np

        logs = self.logarithms(picture)
        prompt = crc32(picture.prompt.encode()) if picture.prompt else nan
        return np.array([sum(logs) / len(logs) if logs else nan, prompt])

    def each(self, described: Any) -> float:
        """NaN: what one picture shows decides more than how it was drawn."""
        return nan

    def score(self, described: Sequence[Any], reference: Sequence[Any]) -> float:
        """The ratio; prompts weigh by the number of their pictures in the set."""
        mine, theirs = _by_prompt(described), _by_prompt(reference)
        if any(isnan(prompt) for side in (mine, theirs) for prompt in side):
            mine, theirs = ({0.0: list(chain.from_iterable(side.values()))} for side in (mine, theirs))
        common = [prompt for prompt in mine if prompt in theirs]
        weight = sum(len(mine[prompt]) for prompt in common)
        if not weight:
            return nan
        return exp(sum(len(mine[p]) * (_mean(mine[p]) - _mean(theirs[p])) for p in common) / weight)


def _by_prompt(described: Sequence[Any]) -> dict[float, list[float]]:
    """The logarithms of `ByPrompt.describe`, by what stands for the prompt."""
    found: dict[float, list[float]] = {}
    for value, prompt in ((float(value), float(prompt)) for value, prompt in described):
        if not isnan(value):
            found.setdefault(prompt, []).append(value)
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
