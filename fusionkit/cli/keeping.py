"""Checkpoints on the command line: where they are, what is told of them, and the picture that one is decoded into."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fusionkit.runs.checkpoints import EVERY

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Recipe

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Keeping:
    """How runs are kept.

    Args:
        every: Seconds from one checkpoint to the next; None writes none.
        resume: Go on from what is there.
    """

    every: float | None = None
    resume: bool = False

    def options(self, picture: Path) -> dict[str, Any]:
        """What `Fusion.run` is told, for the picture of a path."""
        from fusionkit.runs.checkpoints.checkpoint import checkpoint_path

        if self.every is None and not self.resume:
            return {}
        return {
            "checkpoint": checkpoint_path(picture),
            "checkpoint_every": self.every,
            "resume": self.resume,
        }


NOT_KEPT = Keeping()


class _Seconds(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """A number of seconds from 0, or `off`."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        if value is None or isinstance(value, float):
            return value
        if value == "off":
            return math.inf
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            self.fail(f"'{value}' is no number of seconds from 0, and not 'off'", param, ctx)
        return seconds


def keeping_options(command: F) -> F:
    """The options of a command that makes pictures and can go on with them."""
    for decorate in (
        click.option(
            "--checkpoint-every",
            type=_Seconds(),
            default=EVERY,
            show_default=f"{EVERY:g}",
            metavar="SECONDS",
            help="Keep the run beside the picture this often, and where it ends early; 0: after each step; off: never.",
        ),
        click.option("--resume", is_flag=True, help="Go on with what an earlier run of the recipe has kept."),
    ):
        command = decorate(command)
    return command


def keeping(every: float, resume: bool) -> Keeping:
    """How runs are kept, as the options say."""
    return Keeping(None if math.isinf(every) else every, resume)


def note_of_checkpoint(picture: Path, recipe: Recipe) -> str:
    """What is said where a run begins anew though a checkpoint of it is there; empty without one."""
    from fusionkit.errors import FusionError
    from fusionkit.runs.checkpoints.checkpoint import checkpoint_path
    from fusionkit.runs.checkpoints.resume import find_checkpoint

    try:
        found = find_checkpoint(checkpoint_path(picture), recipe)
    except FusionError:
        return ""
    return f"'{found.path}' holds this picture ({found.progress}); --resume goes on from it" if found else ""


def forget_checkpoint(picture: Path, recipe: Recipe) -> None:
    """Delete what a run has kept that was killed when its picture was there and its steps were done."""
    from fusionkit.errors import FusionError
    from fusionkit.runs.checkpoints.checkpoint import checkpoint_path
    from fusionkit.runs.checkpoints.resume import find_checkpoint

    with suppress(FusionError, OSError):
        found = find_checkpoint(checkpoint_path(picture), recipe)
        # One whose steps are not done may be of a process that draws the picture again.
        if found is not None and found.progress.only_decoding_is_left:
            found.path.unlink(missing_ok=True)
