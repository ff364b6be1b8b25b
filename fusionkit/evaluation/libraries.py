"""Libraries that only some scores are computed with, and what to install where one is missing."""

from __future__ import annotations

from collections.abc import Mapping

from fusionkit.doctor import missing
from fusionkit.errors import ModelError

__all__ = ["missing", "require"]


def require(what: str, libraries: Mapping[str, str]) -> None:
    """Raise where a library is missing that something needs, before it is imported.

    Raises:
        ModelError: One is: what needs it, and what to install.
    """
    if lines := missing(libraries):
        raise ModelError("\n".join(f"{what} {line}" for line in lines))
