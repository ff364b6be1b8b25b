"""`fusionkit doctor`: what is installed here and what of it does not fit, to paste into a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fusionkit.doctor.examine import Examination

WIDTH = 100


@click.command("doctor", short_help="See what is installed, and what of it does not fit.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for a program.")
def command(as_json: bool) -> None:
    """See what is installed, and what of it does not fit, on one screen to paste into a report.

    It ends with 1 where something does not fit or can't be imported. Nothing is downloaded or changed.
    """
    from fusionkit.doctor.examine import examine

    found = examine()
    click.echo(in_json(found) if as_json else text(found))
    if found.problems:
        click.get_current_context().exit(1)


def in_json(found: Examination) -> str:
    """All that was found, with `fits` in front."""
    import json
    from dataclasses import asdict

    return json.dumps({"fits": not found.problems, **asdict(found)}, indent=2)


def text(found: Examination) -> str:
    """All that was found, on one screen."""
    rows = [
        ("fusionkit", f"{found.fusionkit.get('version') or 'not installed'}, {found.fusionkit.get('folder')}"),
        ("python", _python(found.python)),
        ("system", _system(found.system)),
        ("packages", _packages(found.packages)),
        *((f"[{extra}]", _packages(versions)) for extra, versions in found.extras.items()),
        *(("devices" if not at else "", _device(each)) for at, each in enumerate(found.devices)),
        *(("caches" if not at else "", _cache(each)) for at, each in enumerate(found.caches)),
        *((f"{kind} models", ", ".join(names) or "none") for kind, names in sorted(found.models.items())),
        ("offered", ", ".join(f"{len(names)} {kind}" for kind, names in found.offers.items())),
    ]
    lines = [line for name, value in rows for line in _row(name, value)]
    lines += [f"note: {line}" for line in found.notes]
    if not found.problems:
        return "\n".join([*lines, "", "all of it fits"])
    number = len(found.problems)
    lines += ["", f"{number} {'thing does' if number == 1 else 'things do'} not fit:"]
    lines += [f"- {line}" for line in found.problems]
    return "\n".join([*lines, "The tested set fits; in the checkout: pip install -c constraints.txt ."])


def _row(name: str, value: str) -> list[str]:
    from textwrap import wrap

    begin = f"{name:<16}"
    return wrap(
        value or "unknown",
        WIDTH,
        initial_indent=begin,
        subsequent_indent=" " * len(begin),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _python(about: dict[str, Any]) -> str:
    where = "" if about.get("environment", True) else ", in no environment of its own"
    return f"{about.get('version')} ({about.get('implementation')}), {about.get('executable')}{where}"


def _system(about: dict[str, Any]) -> str:
    total, free = about.get("memory"), about.get("memory_free")
    memory = f", {_bytes(total)} of memory, {_bytes(free)} free" if total else ""
    return f"{about.get('system')}, {about.get('machine')}, {about.get('cores')} cores{memory}"


def _packages(versions: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {version or '(not installed)'}" for name, version in versions.items())


def _device(about: dict[str, Any]) -> str:
    parts = [f"{about['name']}: {about['about']}"]
    if about.get("memory"):
        free = f", {_bytes(about['memory_free'])} free" if about.get("memory_free") else ""
        parts.append(f"{_bytes(about['memory'])}{free}")
    parts += [f"{key} {about[key]}" for key in ("runtime", "driver") if about.get(key)]
    return ", ".join(parts)


def _cache(about: dict[str, Any]) -> str:
    size = ("" if about["counted"] else "over ") + _bytes(about["size"]) if about["exists"] else "not there yet"
    locked = "" if about["writable"] else ", not writable"
    return f"{about['name']}: {about['folder']}, {size}; {_bytes(about['free'])} free{locked}"


def _bytes(number: int | None) -> str:
    return "unknown" if number is None else f"{number / 1e9:.1f} GB"
