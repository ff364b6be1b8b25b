"""What stands beside a table of scores: of what it is, and what its signs mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fusionkit.comparison.tables.column import Column

_MOST = 4


class Signs(NamedTuple):
    """The signs of a table, as its language writes them."""

    bold: str
    near: str
    plus_minus: str
    percent: str
    by: str
    """Between a width and a height."""


def caption_of(report: Mapping[str, Any], columns: Sequence[Column], text: Callable[[str], str], signs: Signs) -> str:
    """What pictures a table is of, and how to read it, in one paragraph without the comparison's title.

    Args:
        report: What is in the comparison's `report.json`.
        columns: The table's columns.
        text: Makes a text mean itself.
        signs: The table's signs.
    """
    said = [_pictures(report, text, signs)]
    scores = [column for column in columns if not column.is_cost]
    marks = {mark for column in columns for mark in column.marks().values()}
    if any(column.better != "none" for column in columns):
        said.append("Arrows say what is better.")
    if "best" in marks:
        said.append(f"{signs.bold}: the best of its column.")
    if "near" in marks:
        said.append(f"{signs.near}: can't be told from it, as their 95{signs.percent} intervals overlap.")
    if any(number is not None and number.half > 0 for column in scores for number in column.numbers.values()):
        said.append(f"{signs.plus_minus}: half of the width of the 95{signs.percent} interval.")
    if any(column.is_cost for column in columns):
        said.append("Costs are medians over the pictures; of the memory, the largest.")
    return " ".join(said)


def _pictures(report: Mapping[str, Any], text: Callable[[str], str], signs: Signs) -> str:
    """How many pictures, of which size, and made how; what settings differ in is left out."""
    prompts, seeds = len(report["prompts"]), len(report["seeds"])
    counts = Counter(picture["setting"] for picture in report["pictures"])
    each = sorted({counts[setting["name"]] for setting in report["settings"]})
    number = f"{each[0]:,}" if len(each) == 1 else f"{each[0]:,} to {each[-1]:,}"
    said = f"{_counted(prompts, 'prompt')} with {_counted(seeds, 'seed')} each: {number} pictures a setting"
    if number == "1":
        said = said.replace("pictures", "picture")
    drawn: list[Mapping[str, Any]] = [setting.get("drawn") or {} for setting in report["settings"]]
    sizes, steps, models = ({one.get(key, 0) for one in drawn} for key in ("size", "steps", "model"))
    if len(sizes) == 1 and (size := sizes.pop()):
        said += f", of {size.replace('x', signs.by)} pixels"
    if len(steps) <= _MOST and 0 not in steps:
        *listed, last = map(str, sorted(steps))
        said += f", in {', '.join(listed)}{' or ' * bool(listed)}{last} step{'' if steps == {1} else 's'}"
    if len(models) == 1 and (model := models.pop()):
        said += f", by {text(model)}"
    return f"{said}."


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
