"""Tables in Markdown, as GitHub and many others read it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fusionkit.comparison.tables.caption import Signs
from fusionkit.comparison.tables.column import Column, Mark

_MINUS = "\N{MINUS SIGN}"
_PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
_DAGGER = "\N{DAGGER}"
_ARROWS = {
    "lower": "\N{DOWNWARDS ARROW}",
    "higher": "\N{UPWARDS ARROW}",
    "closer-to-1": "\N{RIGHTWARDS ARROW}1",
}
_RAISED = str.maketrans("-0123456789", "\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT ZERO}¹²³⁴⁵⁶⁷⁸⁹")


class Markdown:
    """A table of pipes, with its caption below it."""

    line = ("| ", " | ", " |\n")
    missing = "\N{EN DASH}"
    signs = Signs("**Bold**", _DAGGER, _PLUS_MINUS, " %", " \N{MULTIPLICATION SIGN} ")

    def text(self, text: str) -> str:
        """A text without Markdown's own signs; nobody and no issue is mentioned by it."""
        plain = re.sub(r"([\\`*_\[\]{}<>|~&$])", r"\\\1", " ".join(text.split()))
        return re.sub(r"([@#])(?=\w)", r"\1<!-- -->", plain)

    def name(self, title: str) -> str:
        """A setting's title."""
        return self.text(title)

    def cell(self, value: str, half: str, mark: Mark) -> str:
        """A number with half of its interval's width."""
        number = value.replace("-", _MINUS)
        number = f"**{number}**" if mark == "best" else number
        return f"{number}{_DAGGER * (mark == 'near')}{f' {_PLUS_MINUS} {half}' * bool(half)}"

    def above(self, title: str, caption: str, columns: Sequence[Column]) -> str:
        """The title, and the table's first two lines."""
        start, between, end = self.line
        heads = between.join(["setting", *(self._head(column) for column in columns)])
        rule = between.join(["---", *("---:" for _ in columns)])
        return f"**{self.text(title)}**\n\n{start}{heads}{end}{start}{rule}{end}"

    def below(self, caption: str) -> str:
        """The caption."""
        return f"\n{caption}\n"

    def _head(self, column: Column) -> str:
        power = f"10{str(column.power).translate(_RAISED)}" if column.power else ""
        unit = " ".join(part for part in (power, self.text(column.unit)) if part)
        parts = (self.text(column.title), f"({unit})" * bool(unit), _ARROWS.get(column.better))
        return " ".join(part for part in parts if part)
