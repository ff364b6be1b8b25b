"""Whose group of views is whose: the loop marks each with the plugin that added it, and wrappers leave the mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fusionkit.loop.stage import Patches


def marked(hook: str, answer: Any, plugin: object) -> Any:
    """An answer of `views` whose groups all know who added them; that of another hook as it is.

    Args:
        hook: The hook.
        answer: What was answered, as it has been checked.
        plugin: Who answered: groups that nobody has added before are its own.
    """
    if hook != "views":
        return answer
    groups: Sequence[Patches] = answer
    # Copies: a plugin may answer the same groups again and again.
    return [group if group.origin is not None else replace(group, origin=plugin) for group in groups]
