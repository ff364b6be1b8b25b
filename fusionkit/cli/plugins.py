"""`fusionkit plugins`: what the installed packages offer, broken ones included."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import click

from fusionkit.cli.as_json import json_option, print_json
from fusionkit.cli.common import aside, table

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from fusionkit.plugin import Plugin


@click.command("plugins", short_help="List the installed plugins, or show one.")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the installed plugins, or show one with its options and hooks."""
    from fusionkit.errors import FusionError
    from fusionkit.registry import offered, package_of

    if name is not None:
        kind = aside(checked, name)
        if as_json:
            print_json(document(name, kind))
        else:
            click.echo(describe(kind, offered()[name]))
        return
    rows: list[list[str]] = []
    found: list[dict[str, Any]] = []
    for each, entry in offered().items():
        try:
            about, broken = summary(aside(checked, each)), None
        except FusionError as error:
            about, broken = f"broken: {error}", str(error)
        rows.append([each, package_of(entry), about])
        found.append({"name": each, "package": package_of(entry), "summary": about, "broken": broken})
    if as_json:
        print_json({"plugins": found})
        return
    click.echo(table(rows) if rows else "no installed package offers a plugin")


def document(name: str, kind: type[Plugin]) -> dict[str, Any]:
    """A plugin with its hooks and options, as JSON has it."""
    from fusionkit.recipe.schema import inline
    from fusionkit.registry import offered, package_of

    return {
        "name": name,
        "package": package_of(offered()[name]),
        "summary": summary(kind),
        "hooks": dict(hooks_of(kind)),
        "options": inline(kind.model_json_schema(by_alias=True)),
    }


def checked(name: str) -> type[Plugin]:
    """A plugin's class, whose hooks fit those of the loop.

    Raises:
        PluginError: It can't be imported, or a hook is misspelt or asks for what it can't have.
    """
    from fusionkit.loop.manager import Manager
    from fusionkit.registry import load

    kind = load(name)
    # Without validation, since a plugin may have options without a default.
    Manager([kind.model_construct()])
    return kind


def summary(kind: type[Plugin]) -> str:
    """The first line of a plugin's docstring."""
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def describe(kind: type[Plugin], entry: EntryPoint) -> str:
    """A plugin with its package, hooks and options."""
    from fusionkit.cli.options import example, options_of_plugin
    from fusionkit.registry import package_of

    name = kind.plugin_name
    version = f" {entry.dist.version}" if entry.dist is not None else ""
    parts = [
        f"{name}  ({package_of(entry)}{version}, {entry.value})",
        inspect.getdoc(kind) or "",
        "hooks\n" + table([[hook, how] for hook, how in hooks_of(kind)], "  "),
    ]
    rows = options_of_plugin(kind)
    parts.append("options\n" + "\n".join(rows) if rows else "options\n  none")
    parts.append(f"in a recipe\n  plugins:\n    - {name}" + (f": {{{example(kind)}}}" if rows else ""))
    return "\n\n".join(part for part in parts if part)


# What a plugin does in hooks that gather the answers of all.
_GATHERED = {
    "check": "names problems before the run",
    "keeps_composition": "says whether a large canvas is one picture",
    "maps": "gives pictures",
}


def hooks_of(kind: type[Plugin]) -> list[tuple[str, str]]:
    """The hooks that a plugin implements, and whether it replaces or changes their answer, or only listens."""
    from fusionkit.loop.hookspecs import PROJECT, Hookspecs

    found = []
    for hook, spec in vars(Hookspecs).items():
        options = getattr(getattr(kind, hook, None), f"{PROJECT}_impl", None)
        if options is not None:
            first = getattr(spec, f"{PROJECT}_spec")["firstresult"]
            changes = options["wrapper"] or options["hookwrapper"]
            listens = _GATHERED.get(hook, "is told")
            found.append((hook, "changes the answer" if changes else "gives the answer" if first else listens))
    return found
