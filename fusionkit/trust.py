"""What a recipe may make this program open or ask, where the recipe is not its user's: one that a picture carries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from fusionkit.errors import RecipeError


@dataclass(frozen=True)
class Limits:
    """What is not done for a picture's recipe.

    Args:
        paths: How its user allows that the paths in it are opened; None where they are.
        downloads: How its user allows that the hub is asked for what it names; None where it is.
        opened: The folders and files that were looked for, were there, and may be opened.
    """

    paths: str | None
    downloads: str | None
    opened: list[str] = field(default_factory=list)


_limits: ContextVar[Limits | None] = ContextVar("limits", default=None)


@contextmanager
def named_by_a_picture(*, paths: str | None = None, downloads: str | None = None) -> Iterator[Limits]:
    """While what a picture's own recipe names is looked for.

    Whoever opens a path or asks the hub for what a recipe names asks `refusal` or `no_download` first.

    Args:
        paths: Paths in the recipe are not opened; this says how they would be. None: they are, if they are ordinary
            files or folders of this machine.
        downloads: The hub is not asked; this says how it would be. None: it is.
    """
    limits = Limits(paths, downloads)
    token = _limits.set(limits)
    try:
        yield limits
    finally:
        _limits.reset(token)


def refusal(path: str | os.PathLike[str]) -> str:
    """Why a path that a recipe names is not opened, as a sentence goes on after it; empty where it may be."""
    limits = _limits.get()
    if limits is None:
        return ""
    if limits.paths is not None:
        return f"is named by a picture, and so is not opened{_advice(limits.paths)}"
    if limits.downloads is not None and str(path).startswith(("\\\\", "//")):
        # Windows would tell the other machine who asks.
        return f"is on another machine, which is not asked for what a picture names{_advice(limits.downloads)}"
    try:
        mode = Path(path).expanduser().stat().st_mode
    except (OSError, ValueError, RuntimeError):
        return ""  # nothing is there: whoever wants it says so
    if not (S_ISREG(mode) or S_ISDIR(mode)):
        return "is no ordinary file, and so is not opened"
    if str(path) not in limits.opened:
        limits.opened.append(str(path))
    return ""


def check_opening(path: str | os.PathLike[str], what: str) -> None:
    """Refuse a path that is not to be opened.

    Raises:
        RecipeError: It is not; `what` is how the line begins.
    """
    if reason := refusal(path):
        raise RecipeError([f"{what} '{path}' {reason}"])


def no_download() -> str:
    """Why the hub is not asked for what a recipe names, as a sentence goes on; empty where it may be."""
    limits = _limits.get()
    if limits is None or limits.downloads is None:
        return ""
    return f"is not on this machine, and what a picture names is not downloaded{_advice(limits.downloads)}"


@contextmanager
def hub_offline() -> Iterator[None]:
    """While no library asks the hub for anything, whatever it was told to load; for the whole process."""
    import huggingface_hub.constants as hub

    # Some libraries copy the first when they are imported, and look at the environment otherwise.
    before, variable = hub.HF_HUB_OFFLINE, os.environ.get("HF_HUB_OFFLINE")
    hub.HF_HUB_OFFLINE, os.environ["HF_HUB_OFFLINE"] = True, "1"
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before
        os.environ.pop("HF_HUB_OFFLINE")
        if variable is not None:
            os.environ["HF_HUB_OFFLINE"] = variable


def _advice(how: str) -> str:
    return f"; {how}" if how else ""
