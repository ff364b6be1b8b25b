"""`fusionkit models`: the models that come inside the installed packages."""

from __future__ import annotations

import click

from fusionkit.cli.common import table


@click.command("models", short_help="List the embedded models.")
def command() -> None:
    """List the embedded models, which need no download.

    A recipe may also name a model of the hub, a folder, or a .safetensors file.
    """
    from fusionkit.models.embedded import broken_packages, embedded_models

    found = embedded_models()
    if not found:
        click.echo("no installed package brings a model")
    for name, model in found.items():
        width, height = model.window
        rows = [["  windows", f"{width}x{height} pixels"], ["  licence", model.licence]]
        if model.example_prompt:
            rows.append(["  prompt", model.example_prompt])
        if model.defaults:
            rows.append(["  defaults", ", ".join(f"{key}: {value}" for key, value in model.defaults.items())])
        click.echo(f"{name}  {model.summary}\n{table(rows)}")
    for name, reason in broken_packages().items():
        click.echo(f"{name}/...  broken: {reason}")
