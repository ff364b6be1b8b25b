"""Tables in LaTeX: booktabs' lines, and no wider than the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import wrap

from fusionkit.comparison.tables.caption import Signs
from fusionkit.comparison.tables.column import Column, Mark

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",  # a letter of all encodings, and active in none
    "`": r"\textasciigrave{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "--": "-{}-",  # would become one dash
    "[": "{[}",  # at a line's beginning it would be an option of the line break before it; so would a star
    "*": "{*}",
}
_ARROWS = {"lower": r"$\downarrow$", "higher": r"$\uparrow$", "closer-to-1": r"$\to 1$"}
_NAME, _HEAD = 26, 12
"""How many letters of a setting's name, and of a column's, stand in one line."""
_BREAK = r" \\ "
_DAGGER = r"\rlap{$^{\dagger}$}"


class Latex:
    """A `table` that needs the packages booktabs and graphicx."""

    line = ("    ", " & ", " \\\\\n")
    missing = "--"
    signs = Signs(r"\textbf{Bold}", r"$^{\dagger}$", r"$\pm$", r"\,\%", r"$\,\times\,$")

    def text(self, text: str) -> str:
        """A text without LaTeX's own signs."""
        return re.sub("|".join(map(re.escape, _SPECIAL)), lambda found: _SPECIAL[found[0]], " ".join(text.split()))

    def name(self, title: str) -> str:
        """A setting's title; a long one in several lines, since a wide table has small letters."""
        lines = [self.text(line) for line in wrap(title, _NAME)] or [""]
        if len(lines) == 1:
            return lines[0]
        return r"\begin{tabular}[t]{@{}l@{}}" + _BREAK.join(lines) + r"\end{tabular}"

    def cell(self, value: str, half: str, mark: Mark) -> str:
        """A number in mathematics; the dagger takes no room, so that numbers stay below each other."""
        # A comma of mathematics has a space behind it.
        value, half = value.replace(",", "{,}"), half.replace(",", "{,}")
        number = f"\\mathbf{{{value}}}" if mark == "best" else value
        return f"${number} \\pm {half}$" * bool(half) + f"${number}$" * (not half) + _DAGGER * (mark == "near")

    def above(self, title: str, caption: str, columns: Sequence[Column]) -> str:
        """The table's beginning, with its caption, to which a label belongs."""
        end = "" if title.rstrip().endswith((".", "?", "!")) else "."
        label = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "comparison"
        heads = " & ".join(["Setting", *(self._head(column) for column in columns)])
        return "\n".join(
            [
                r"% needs \usepackage{booktabs,graphicx}",
                r"\begin{table}",
                r"  \centering",
                f"  \\caption{{{self.text(title)}{end} {caption}}}",
                f"  \\label{{tab:{label}}}",
                r"  \smallskip",
                r"  \setlength{\tabcolsep}{4pt}",
                r"  % no wider than the text",
                r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
                f"  \\begin{{tabular}}{{l{'r' * len(columns)}}}",
                r"    \toprule",
                f"    {heads} \\\\",
                "    \\midrule\n",
            ]
        )

    def below(self, caption: str) -> str:
        """The table's end."""
        return "    \\bottomrule\n  \\end{tabular}}\n\\end{table}\n"

    def _head(self, column: Column) -> str:
        power = f"$10^{{{column.power}}}$" if column.power else ""
        unit = " ".join(part for part in (power, self.text(column.unit)) if part)
        lines = [*(self.text(line) for line in wrap(column.title, _HEAD)), *([f"({unit})"] if unit else [])] or [""]
        lines[-1] = f"{lines[-1]} {_ARROWS.get(column.better, '')}".rstrip()
        return lines[0] if len(lines) == 1 else rf"\shortstack[r]{{{_BREAK.join(lines)}}}"
