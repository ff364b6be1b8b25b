"""Progress bars: in a terminal and a notebook as tqdm draws them, in a log a line now and then."""

from __future__ import annotations

import sys
from typing import Any

# Seconds between two lines in a log.
_SELDOM = 10.0


class _Lines:
    """A log in place of a terminal: each state of a bar that is written is a line of its own."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        if line := text.replace("\r", "").strip():
            sys.stderr.write(f"{line}\n")
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()


def progress_bar(**options: Any) -> Any:
    """A bar of tqdm; where standard error is no terminal, it writes lines: at the start, the end, and seldom between.

    Args:
        options: As for `tqdm`. A bar that is not to be left writes no line there before it has run for a while.
    """
    from tqdm import std
    from tqdm.auto import tqdm

    # In a notebook, tqdm is another class, and draws no characters.
    if not issubclass(tqdm, std.tqdm) or tqdm.display is not std.tqdm.display or sys.stderr.isatty():
        return tqdm(dynamic_ncols=True, **options)

    class Seldom(std.tqdm):  # type: ignore[misc]
        """One whose description, as it changes, is no line of its own."""

        def set_description_str(self, desc: str | None = None, refresh: bool = True) -> None:
            super().set_description_str(desc, refresh=False)

    seldom = {"mininterval": _SELDOM, "maxinterval": _SELDOM, "ncols": 0, "file": _Lines(), "leave": True}
    seldom["delay"] = 0 if options.get("leave", True) else _SELDOM
    return Seldom(**{**options, **seldom})
