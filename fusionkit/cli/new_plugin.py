"""`fusionkit new-plugin`: a package with a plugin that works, for its author to change."""

from __future__ import annotations

from pathlib import Path

import click


def known_hook(ctx: click.Context, param: click.Parameter, given: str) -> str:
    """A hook for which there is a plugin to begin with, as Python spells it.

    Raises:
        BadParameter: There is none; a near name is suggested.
    """
    from fusionkit.errors import did_you_mean
    from fusionkit.starts.plugin import hooks

    name = given.replace("-", "_")
    if name not in (known := hooks()):
        hint = did_you_mean(name, known)
        line = f"there is no plugin to begin with for '{given}'{hint}; there are {', '.join(known)}"
        raise click.BadParameter(line, ctx, param)
    return name


@click.command("new-plugin", short_help="Write a package with a plugin of your own, to begin with.")
@click.argument("name")
@click.option(
    "--hook",
    callback=known_hook,
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
