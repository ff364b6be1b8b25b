"""`fusionkit models`: the models and ControlNets that come inside the installed packages."""

from __future__ import annotations

from textwrap import wrap

import click

from fusionkit.cli.as_json import json_option, print_json
from fusionkit.cli.common import table


@click.command("models", short_help="List the embedded models and ControlNets.")
@json_option
def command(as_json: bool) -> None:
    """List the embedded models and ControlNets, which need no download.

    A recipe may also name a model of the hub, a folder, or a .safetensors file; and a ControlNet of the hub, or a
    folder.
    """
    from fusionkit.models.embedded import broken_packages, embedded_controlnets, embedded_models, packages_of

    found, controlnets = embedded_models(), embedded_controlnets()
    if as_json:
        models = [
            {
                "name": name,
                "summary": model.summary,
                "window": list(model.window),
                "licence": model.licence,
                "prompt": model.example_prompt,
                "defaults": dict(model.defaults),
                "words": sorted(model.words),
            }
            for name, model in found.items()
        ]
        nets = [{"name": name, "summary": net.summary, "licence": net.licence} for name, net in controlnets.items()]
        print_json({"models": models, "controlnets": nets, "broken": dict(broken_packages())})
        return
    if not found:
        click.echo("no installed package brings a model")
    for name, model in found.items():
        width, height = model.window
        rows = [["  windows", f"{width}x{height} pixels"], ["  licence", model.licence]]
        if model.example_prompt:
            rows.append(["  prompt", model.example_prompt])
        if model.defaults:
            rows.append(["  defaults", ", ".join(f"{key}: {value}" for key, value in model.defaults.items())])
        rows += [
            ["" if number else "  words", line] for number, line in enumerate(wrap(" ".join(sorted(model.words)), 90))
        ]
        click.echo(f"{name}  {model.summary}\n{table(rows)}")
    if controlnets:
        click.echo("\nControlNets, for the plugin controlnet:")
    for name, net in controlnets.items():
        rows = [["  licence", net.licence]]
        if net.annotator:
            rows.insert(0, ["  annotator", net.annotator])
        click.echo(f"{name}  {net.summary}\n{table(rows)}")
    for name, reason in broken_packages().items():
        click.echo(f"{name}/...  broken, of {packages_of(name)}: {reason}")
