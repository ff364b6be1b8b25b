"""Tables in Markdown, and values as a recipe writes them."""

from __future__ import annotations

import json
from typing import Any


def rows(header: list[str], lines: list[list[str]]) -> str:
    """A table in Markdown."""
    written = [header, ["---"] * len(header), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in written)


def written(value: Any) -> str:
    """A value as a recipe writes it."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {written(each)}' for key, each in value.items() if each is not None)}}}"
    return value if isinstance(value, str) else json.dumps(value)
