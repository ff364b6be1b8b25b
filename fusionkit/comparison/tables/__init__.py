"""A comparison's scores as tables to paste: LaTeX for a paper, Markdown for an issue."""

from fusionkit.comparison.tables.latex import Latex
from fusionkit.comparison.tables.markdown import Markdown
from fusionkit.comparison.tables.table import Format, Table, table_of

FORMATS: dict[str, Format] = {"scores.tex": Latex(), "scores.md": Markdown()}
"""The files of a comparison's folder that hold such tables, and how each is written."""

__all__ = ["FORMATS", "Latex", "Markdown", "Table", "table_of"]
