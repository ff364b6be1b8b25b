"""What several commands share: the options that change a recipe, and tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from fusionkit.recipe.recipe_file import RecipeFile

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_OUTPUT, _ERRORS = 1, 2


def recipe_options(command: F) -> F:
    """The options of every command that reads a recipe."""
    for decorate in (
        click.option("--device", metavar="NAME", help="Where to compute: auto, cpu, cuda, cuda:1, mps, ..."),
        click.option("--seed", type=int, metavar="N", help="Another seed than the recipe's."),
        click.option(
            "--set",
            "sets",
            multiple=True,
            metavar="KEY=VALUE",
            help="Change the recipe, as often as needed: steps=30, plugins.style-alignment.alpha=0.6, "
            "plugins.guided-fusion=false (leaves it out).",
        ),
    ):
        command = decorate(command)
    return command


def read(recipe: str, sets: Sequence[str], **options: Any) -> RecipeFile:
    """The recipe that a command was given, with the changes of its options."""
    from fusionkit.recipe.recipe_file import read_recipe

    return aside(read_recipe, recipe, sets, {name.replace("_", "-"): value for name, value in options.items()})


def aside(ask: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function in which plugins are at work: what they print goes to standard error.

    Standard output is for what a command says, so that a script can read it. Programs that a plugin starts, and
    libraries that are not written in Python, print past `sys.stdout`: theirs goes to standard error, too.
    """
    with redirect_stdout(sys.stderr), _descriptor_aside():
        return ask(*args, **kwargs)


@contextmanager
def _descriptor_aside() -> Iterator[None]:
    """Within the block, the process' own standard output is its standard error."""
    try:
        kept = os.dup(_OUTPUT)
    except OSError:  # it is closed
        yield
        return
    try:
        # What was said before is said before. It may be closed, or be none at all.
        with suppress(AttributeError, OSError, ValueError):
            sys.__stdout__.flush()  # type: ignore[union-attr]
        with suppress(OSError):
            os.dup2(_ERRORS, _OUTPUT)
        yield
    finally:
        os.dup2(kept, _OUTPUT)
        os.close(kept)


def tell_notes(file: RecipeFile) -> None:
    """Say what of a file's prompts is taken as written though it has a meaning elsewhere, a line each, on stderr."""
    from fusionkit.recipe.prompt_syntax import prompt_notes

    named = [("prompt", recipe.prompt) for recipe in file.recipes]
    named += [("negative-prompt", recipe.negative_prompt) for recipe in file.recipes[:1]]
    for line in dict.fromkeys(f"'{name}': {note}" for name, text in named for note in prompt_notes(text)):
        click.echo(f"note: {file.located(line)}", err=True)


def table(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Rows in aligned columns; the last column is as long as it is."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = [
        indent + "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1]])
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def counted(number: int, noun: str) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
