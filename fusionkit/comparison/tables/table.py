"""A table of scores as texts: what stands above its rows, the cells of each row, and what stands below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fusionkit.comparison.tables.caption import Signs, caption_of
from fusionkit.comparison.tables.column import Column, Mark, columns_of

MARKS: tuple[Mark, ...] = ("", "best", "near")
"""How a cell can be marked, in the order in which its texts stand."""


class Format(Protocol):
    """How a table is written in one language."""

    line: tuple[str, str, str]
    """What stands before a row's cells, between two of them, and behind them."""
    missing: str
    """The cell of a score that could not be computed."""
    signs: Signs
    """What the caption explains."""

    def text(self, text: str) -> str:
        """A text that means itself, whatever letters are in it."""

    def name(self, title: str) -> str:
        """A setting's title, as the first cell of its row."""

    def cell(self, value: str, half: str, mark: Mark) -> str:
        """A number, half of its interval's width, which may be empty, and its mark."""

    def above(self, title: str, caption: str, columns: Sequence[Column]) -> str:
        """All lines above the rows."""

    def below(self, caption: str) -> str:
        """All lines below the rows."""


@dataclass(frozen=True)
class Table:
    """A table whose rows can be chosen: then another setting may be its best.

    Args:
        above: The text above the rows.
        rows: By the settings' names: the name's cell, then of each column a cell for each of `MARKS`.
        below: The text below.
        line: What stands before a row's cells, between two of them, and behind them.
        columns: The columns' names.
    """

    above: str
    rows: Mapping[str, tuple[str, Sequence[Sequence[str]]]]
    below: str
    line: tuple[str, str, str]
    columns: Sequence[Column]

    def whole(self) -> str:
        """The table with all its settings."""
        start, between, end = self.line
        found = [column.marks() for column in self.columns]
        lines = [
            between.join([title, *(cell[MARKS.index(of.get(name, ""))] for cell, of in zip(cells, found, strict=True))])
            for name, (title, cells) in self.rows.items()
        ]
        return self.above + "".join(f"{start}{line}{end}" for line in lines) + self.below

    def as_json(self) -> dict[str, Any]:
        """All that a page needs to write the table of some of its settings."""
        return {
            "above": self.above,
            "rows": self.rows,
            "below": self.below,
            "line": self.line,
            "columns": [column.name for column in self.columns],
        }


def table_of(report: Mapping[str, Any], form: Format) -> Table:
    """The table of a comparison's scores and costs.

    Args:
        report: What is in the comparison's `report.json`.
        form: How it is written.
    """
    columns = columns_of(report)
    caption = caption_of(report, columns, form.text, form.signs)
    rows = {
        setting["name"]: (
            form.name(setting["title"]),
            [[_cell(form, column, setting["name"], mark) for mark in MARKS] for column in columns],
        )
        for setting in report["settings"]
    }
    return Table(form.above(report["title"], caption, columns), rows, form.below(caption), form.line, columns)


def _cell(form: Format, column: Column, name: str, mark: Mark) -> str:
    number = column.numbers[name]
    if number is None:
        return form.missing
    value = f"{number.value:,.{column.digits}f}"
    if not value.strip("-0.,"):
        value = value.lstrip("-")
    # A cost's spread is over pictures, and is told elsewhere.
    half = f"{number.half:,.{column.digits}f}" if number.half > 0 and not column.is_cost else ""
    return form.cell(value, half, mark)
