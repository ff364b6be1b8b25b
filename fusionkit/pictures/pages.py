"""What all of fusionkit's pages look like."""

from __future__ import annotations

from importlib.resources import files


def shared_style() -> str:
    """The style sheet that every page begins with: colours, sizes, and how plain elements look."""
    return files(__package__).joinpath("pages.css").read_text(encoding="utf-8")
