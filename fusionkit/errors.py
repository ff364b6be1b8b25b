"""What fusionkit raises when a user, or a plugin, can mend it: every message is one line a problem."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


class FusionError(Exception):
    """A problem that its reader can mend; the command line prints it without a traceback.

    Attributes:
        checkpoint: Where the run that it ended is kept; None where it is not.
        kept: The same in words, with how the run goes on; a part of the message.
    """

    exit_code = 1
    checkpoint: Path | None = None
    kept = ""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}; kept: {self.kept}" if self.kept else text


class RecipeError(FusionError):
    """A recipe, or a call from Python, that can't be run; holds all problems at once.

    Args:
        problems: One line each: where, what, whose, and what instead.
    """

    exit_code = 2

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


class RecipeWarning(UserWarning):
    """Of a recipe that can be run, and that will hardly make what is meant: one line, with what to use instead."""


class PluginError(FusionError):
    """A plugin that can't be loaded, does not fit the hooks, or failed in one."""


class ModelError(FusionError):
    """A model that can't be found, read or run."""


class UnfinishedError(FusionError):
    """A run that could not go on, through no fault of the recipe's words.

    Attributes:
        latents: The clean latents (1, C, H, W), where all steps were done and decoding alone failed; else None.
        decode_in_tiles: Makes the `Result` of these latents in tiles, which needs less memory; None where that is
            no help.
    """

    latents: Tensor | None = None
    decode_in_tiles: Callable[[], Any] | None = None


class NumericalError(UnfinishedError):
    """Numbers that are NaN or infinite: of the canvas, a prompt's embedding, or a picture; nothing can follow them."""


class OutOfMemory(UnfinishedError):  # noqa: N818 - as torch calls it, and as people do
    """A run that the machine's memory, or a GPU's, does not hold."""


class CheckpointError(FusionError):
    """A checkpoint that can't be read, or that is of another run than the one that is to go on."""

    exit_code = 2


class CanvasError(FusionError):
    """A canvas that the views do not cover, or sizes that do not fit each other."""

    exit_code = 2


class Cancelled(FusionError):  # noqa: N818 - not an error: somebody asked for it
    """A run that a callback, or Ctrl-C, ended before its last step."""

    exit_code = 130


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'alpha'?` where a known word is near, else an empty string."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
