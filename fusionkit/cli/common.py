"""What several commands share: the options that change a recipe, and tables."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from fusionkit.pictures.carried import Carrier
    from fusionkit.recipe.recipe_file import RecipeFile
    from fusionkit.trust import Limits

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_OUTPUT, _ERRORS = 1, 2
_END = "Ctrl-Z and Enter" if os.name == "nt" else "Ctrl-D"

DOWNLOAD = "--download fetches it"
"""How a user allows that the hub is asked for what a picture names."""


class Seed(click.types.IntParamType):
    """One seed; several are told where they belong."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        if isinstance(value, str) and re.fullmatch(r"\d+([,-]\d+)+", value.replace(" ", "")):
            several = f"'{value}' is several seeds, of which each draws a picture: fusionkit run RECIPE --seeds {value}"
            self.fail(several, param, ctx)
        return super().convert(value, param, ctx)


def recipe_options(command: F) -> F:
    """The options of every command that reads a recipe."""
    for decorate in (
        click.option("--device", metavar="NAME", help="Where to compute: auto, cpu, cuda, cuda:1, mps, ..."),
        click.option(
            "--devices",
            metavar="NAMES",
            help="In its place, several that draw one picture together: cuda:0,cuda:1.",
        ),
        click.option("--download", is_flag=True, help="Fetch the models that a picture names whose recipe is used."),
        click.option("--seed", type=Seed(), metavar="N", help="Another seed than the recipe's."),
        click.option("--size", metavar="WxH", help="Another size, in pixels, such as 1024x128."),
        click.option("--steps", type=int, metavar="N", help="Another number of steps."),
        click.option("--preset", metavar="NAME", help="A preset, such as fast or best; what other options say wins."),
        click.option("--prompt", metavar="TEXT", help="Another prompt than the recipe's."),
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


@dataclass
class Given:
    """The recipe that a command was given.

    Args:
        file: The recipe, with the changes of the command's options.
        carriers: The pictures that it comes from, as a whole or as what it extends; none as a rule.
        opened: What their recipes name that was looked for, was there, and may be opened.
    """

    file: RecipeFile
    carriers: Sequence[Carrier]
    opened: Sequence[str]


def read(recipe: str, sets: Sequence[str], download: bool = False, **options: Any) -> RecipeFile:
    """The recipe that a command was given, with the changes of its options."""
    return given(recipe, sets, download, **options).file


def given(
    recipe: str, sets: Sequence[str], download: bool = False, within: ExitStack | None = None, **options: Any
) -> Given:
    """The same, with the pictures that it comes from.

    Args:
        recipe: A file, the name of a bundled recipe, a picture that carries one, or `-` for standard input.
        sets: Changes, as of `--set`.
        download: Whether the hub may be asked for what a picture names.
        within: How long what pictures name is opened with care; None is until the command ends.
        options: Values of options that have a flag of their own.

    Raises:
        RecipeError: All problems, each with its place.
    """
    from fusionkit.pictures.carried import carried, read_recipe
    from fusionkit.recipe.assemble import is_picture

    limits: list[Limits] = []

    def begin() -> None:
        how = None if download else DOWNLOAD
        enter = click.get_current_context().with_resource if within is None else within.enter_context
        limits.append(enter(carried(how)))

    changes = {name.replace("_", "-"): value for name, value in options.items()}
    if is_picture(path := Path(recipe)) and path.is_file() and not _says_where(sets, changes):
        from fusionkit.cli.from_picture import beside

        changes["output"] = beside(path)
    piped = _standard_input() if recipe == "-" else None
    file, carriers = aside(read_recipe, recipe, sets, changes, begin, piped)
    return Given(file, carriers, limits[0].opened if limits else ())


def _standard_input() -> str:
    """The text of standard input; in a terminal, how to end it is said."""
    from fusionkit.errors import RecipeError
    from fusionkit.recipe.assemble import STANDARD_INPUT
    from fusionkit.recipe.document import as_text
    from fusionkit.recipe.limits import FILE_BYTES

    source = sys.stdin
    if source is None or source.closed:
        raise RecipeError([f"{STANDARD_INPUT}: is closed; give a recipe's file"])
    if source.isatty():
        click.echo(f"reading a recipe from {STANDARD_INPUT}; {_END} ends it", err=True)
    return as_text(source.buffer.read(FILE_BYTES + 1), STANDARD_INPUT)


def _says_where(sets: Sequence[str], options: Mapping[str, Any]) -> bool:
    return options.get("output") is not None or any(each.partition("=")[0].strip() == "output" for each in sets)


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


def tell_notes(file: RecipeFile, notes: Sequence[str]) -> list[str]:
    """Say on stderr what can be drawn of a file and is hardly what is meant, each with its place; answers the lines.

    Args:
        file: The file.
        notes: What checking it noted.
    """
    return say_notes([file.located(line) for line in notes])


def say_notes(notes: list[str]) -> list[str]:
    """Say notes on stderr, a line each; answers them."""
    for line in notes:
        click.echo(f"note: {line}", err=True)
    return notes


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


def quoted(path: Path) -> str:
    """A path as a shell takes it."""
    return f'"{path}"' if os.name == "nt" else shlex.quote(str(path))
