"""`fusionkit new-plugin`: a package with a plugin that works, for its author to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class Hook(click.ParamType):
    """A hook for which there is a plugin to begin with; the templates are looked at only when one is asked for."""

    name = "hook"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The hook's name, as Python spells it."""
        from fusionkit.errors import did_you_mean
        from fusionkit.starts.plugin import hooks

        name = str(value).replace("-", "_")
        if name not in (known := hooks()):
            self.fail(
                f"there is no plugin to begin with for '{value}'{did_you_mean(name, known)}; {listed()}", param, ctx
            )
        return name


def listed() -> str:
    """The hooks for which there is one, in a sentence."""
    from fusionkit.starts.plugin import hooks

    return f"there are {', '.join(hooks())}"


@click.command("new-plugin", short_help="Write a package with a plugin of your own, to begin with.")
@click.argument("name")
@click.option(
    "--hook",
    type=Hook(),
    default="prompt_per_patch",
    show_default=True,
    metavar="HOOK",
    help="What it changes: decode, fuse, init_noise, noise_prediction, prompt_per_patch, step or views.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the package goes, a new or empty folder; by default fusionkit-NAME here.",
)
def command(name: str, hook: str, output: Path | None) -> None:
    """Write a package with a plugin that works, to begin with: its code, test, recipe, page and README.

    NAME is what recipes call it, such as sky-and-sea. The package installs with pip and passes its test as it is.
    Nothing that is there is changed.
    """
    from fusionkit.cli.common import counted, quoted
    from fusionkit.starts.names import names_of
    from fusionkit.starts.plugin import package_files, write_package

    names = names_of(name)
    folder = output or Path(names.distribution)
    files = package_files(names, hook)
    write_package(folder, files)
    click.echo(f"{folder}: {counted(len(files), 'file')}; what it does is in {names.package}/__init__.py")
    click.echo("next:")
    for line in (f"cd {quoted(folder)}", "pip install -e '.[test]'", "pytest", "fusionkit run recipe.yaml"):
        click.echo(f"  {line}")
