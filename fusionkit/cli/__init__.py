"""The command line. Nothing heavy is imported before a command runs, so that `--help` answers at once."""

from __future__ import annotations

import os
import warnings
from typing import Any

import click

from fusionkit.cli import commands
from fusionkit.cli.signals import INTERRUPTED, Ended, signals_interrupt
from fusionkit.doctor import unfit_hint
from fusionkit.errors import FusionError, RecipeWarning, did_you_mean


class Commands(click.Group):
    """The commands, each in a module of its own that is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which a new user needs them; then those of other packages."""
        return commands.names()

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """One command.

        Raises:
            PluginError: It is broken.
        """
        return commands.load(name) if name in commands.names() else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them; fusionkit's own are not imported for it."""
        names = self.list_commands(ctx)
        width = formatter.width - 6 - max(map(len, names), default=0)
        with formatter.section("Commands"):
            formatter.write_dl(list(commands.summaries(names, width)))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; a near one is suggested for a misspelt one."""
        known = commands.names()
        if args and args[0] not in known and not args[0].startswith("-"):
            hint = did_you_mean(args[0], known) or f"; there are {', '.join(known)}"
            ctx.fail(f"no command '{args[0]}'{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and say what went wrong in one line a problem."""
        with signals_interrupt() as ended:
            return self._invoke(ctx, ended)

    def _invoke(self, ctx: click.Context, ended: Ended) -> Any:
        try:
            # Commands that read a recipe tell notes themselves, with their place in it.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RecipeWarning)
                return super().invoke(ctx)
        except click.NoSuchOption as error:
            raise explained(error) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            _fail(ctx, "interrupted", ended.code(INTERRUPTED))
        except FusionError as error:
            if ctx.params["debug"]:
                raise
            # A library that is interrupted while it is imported may fail in another way, later.
            lost = ended.signal is not None and error.exit_code != INTERRUPTED
            _fail(ctx, "interrupted" if lost else str(error), ended.code(error.exit_code))
        except BrokenPipeError:
            raise
        except BaseException as error:
            if ended.signal is not None and not ctx.params["debug"]:
                _fail(ctx, "interrupted", ended.code(INTERRUPTED))
            # What is left is a fault of ours or of a library: its reader can do nothing with a traceback but report it.
            # What ends programs is among it: click never does so in here, and a command that ended early has failed.
            if ctx.params["debug"] and isinstance(error, Exception):
                raise
            from fusionkit.foreign import owner_of, told

            if ctx.params["debug"]:
                raise RuntimeError(told(error)) from error
            where = f"{owner_of(error)}{unfit_hint()}"
            _fail(ctx, f"{told(error)}{where}; see where with fusionkit --debug {ctx.invoked_subcommand}", 1)


def explained(error: click.NoSuchOption) -> click.NoSuchOption:
    """The same, which says of a flag that is an option of a recipe how it is set."""
    from fusionkit.recipe.other_names import meant_flag
    from fusionkit.recipe.problems import options_of
    from fusionkit.recipe.recipe import Recipe

    line = meant_flag(error.option_name, options_of(Recipe))
    return click.NoSuchOption(error.option_name, line, ctx=error.ctx) if line else error


def _fail(ctx: click.Context, text: str, code: int) -> None:
    from fusionkit.foreign import printable

    click.echo(printable(text), err=True)
    ctx.exit(code)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="fusionkit", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Make pictures that no single diffusion model was trained to make, as a recipe says.

    \b
    A first picture:   fusionkit run panorama
    Your own recipe:   fusionkit recipes panorama > mine.yaml
                       fusionkit run mine.yaml --set steps=30 --seed 7
    """  # noqa: D301 - click wants the character
    try:
        os.getcwd()
    except FileNotFoundError:
        raise FusionError("the working folder was deleted; change to one that is there") from None
    # The hub's client tells of each of its attempts; what counts is whether it succeeded, and that is an error of ours.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    # Threads that spin while they wait starve each other where another program is busy: six times slower, measured.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
