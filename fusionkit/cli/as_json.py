"""What commands answer as one JSON document, for scripts: docs/command-line.md says what stands in each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pathlib import Path

    from fusionkit.cli.pictures import Drawn

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """The option of a command that answers as JSON."""
    text = "Print one JSON document in place of all else; notes and errors still go to standard error."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document: all of standard output."""
    click.echo(json.dumps(document, indent=1, ensure_ascii=True, default=str))


def of_run(drawn: Sequence[Drawn], notes: Sequence[str] = (), sheet: Path | None = None) -> dict[str, Any]:
    """The pictures of a run, in their order, and what was said of the recipe before."""
    return {
        "pictures": [_of_picture(each) for each in drawn],
        "sheet": None if sheet is None else str(sheet),
        "notes": list(notes),
    }


def _of_picture(drawn: Drawn) -> dict[str, Any]:
    result = drawn.result
    told: dict[str, Any] = {
        "path": str(drawn.path),
        "prompt": drawn.recipe.prompt,
        "seed": drawn.recipe.seed,
        "drawn": result is not None,
    }
    if result is not None:
        told |= {
            "size": list(result.image.size),
            "seconds": round(result.seconds, 3),
            "forward-passes": result.forward_passes,
            "latents": result.latents_hash,
            "recipe": result.recipe.dump(),
            "maps": [str(each) for each in drawn.maps],
        }
    return told
