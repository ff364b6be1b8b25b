"""A column of a table of scores: its numbers, how many digits of them count, and which is best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any, Literal, NamedTuple

Mark = Literal["", "best", "near"]
"""The best of a column, and what can't be told from it; the page marks its own table alike."""
_MOST_DIGITS = 6


class Number(NamedTuple):
    """A score with its interval; where it has none, all three are alike."""

    value: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Column:
    """What all settings have of one score or cost.

    Args:
        name: The score's or cost's name.
        title: What the column is called.
        unit: Its unit; empty where the title says enough.
        power: The power of ten that its numbers are told in: 0, or -3, -6, ...
        better: "lower", "higher", "closer-to-1" or "none".
        is_cost: Whether it is a cost: its spread is over pictures, and no interval.
        numbers: By the settings' names; None where there is no score.
    """

    name: str
    title: str
    unit: str
    power: int
    better: str
    is_cost: bool
    numbers: Mapping[str, Number | None]

    @property
    def digits(self) -> int:
        """Digits after the point: two that count of the usual interval, or three of the largest value without one."""
        known = [each for each in self.numbers.values() if each is not None]
        if widths := sorted(each.half for each in known if each.half > 0):
            return _bounded(1 - _magnitude(widths[len(widths) // 2]))
        values = [abs(each.value) for each in known]
        if all(value.is_integer() for value in values):
            return 0
        return _bounded(2 - _magnitude(max(values)))

    def marks(self) -> dict[str, Mark]:
        """Which settings are best, and whose intervals overlap the best one's; none where all are alike."""
        known = {name: number for name, number in self.numbers.items() if number is not None}
        losses = {name: self._loss(number) for name, number in known.items()} if self.better != "none" else {}
        if len({loss.value for loss in losses.values()}) < 2:
            return {}
        best = min(losses.values(), key=lambda loss: loss.value)
        found: dict[str, Mark] = {}
        for name, loss in losses.items():
            if loss.value == best.value:
                found[name] = "best"
            elif loss.low <= best.high and not self.is_cost:
                found[name] = "near"
        return found

    def _loss(self, number: Number) -> Number:
        """A score turned so that less is better."""
        value, low, high = number
        if self.better == "higher":
            return Number(-value, -high, -low)
        if self.better != "closer-to-1":
            return number
        ends = abs(low - 1), abs(high - 1)
        return Number(abs(value - 1), 0.0 if low <= 1 <= high else min(ends), max(ends))


def columns_of(report: Mapping[str, Any]) -> list[Column]:
    """The columns of a report's scores and costs, without those that no setting has a number for."""
    settings = report["settings"]
    found = [
        _column(each, [(setting["name"], setting.get("scores") or {}) for setting in settings], each["better"])
        for each in report["metrics"]
    ] + [
        _column(each, [(setting["name"], setting.get("costs") or {}) for setting in settings], "lower", is_cost=True)
        for each in report["costs"]
    ]
    return [column for column in found if any(number is not None for number in column.numbers.values())]


def _column(
    told: Mapping[str, Any], scores: Sequence[tuple[str, Mapping[str, Any]]], better: str, is_cost: bool = False
) -> Column:
    numbers = {name: _number(each.get(told["name"])) for name, each in scores}
    largest = max((abs(number.value) for number in numbers.values() if number), default=0.0)
    # As the papers tell KID: tiny values in thousandths, millionths, ...
    power = 3 * floor(log10(largest) / 3) if 0 < largest < 0.001 and better != "closer-to-1" else 0
    scaled = {
        name: None if number is None else Number(*(value * 10.0**-power for value in number))
        for name, number in numbers.items()
    }
    unit = told.get("unit") or ""
    # "seconds a picture" needs no "(s)".
    title = told["title"]
    return Column(told["name"], title, "" if title.startswith(unit) else unit, power, better, is_cost, scaled)


def _number(score: Mapping[str, Any] | None) -> Number | None:
    if score is None or score.get("value") is None:
        return None
    value = score["value"]
    ends = (value if score.get(end) is None else score[end] for end in ("low", "high"))
    return Number(value, *ends)


def _magnitude(value: float) -> int:
    """The power of ten of the first digit that counts, after rounding: 0.9996 is 1.00 and not 1.000."""
    return floor(log10(float(f"{value:.3g}")))


def _bounded(digits: int) -> int:
    return min(max(digits, 0), _MOST_DIGITS)
