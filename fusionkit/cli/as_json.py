"""What commands answer as one JSON document, for scripts: docs/command-line.md says what stands in each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pathlib import Path

    from fusionkit.cli.pictures import Drawn
    from fusionkit.recipe.recipe import Recipe
    from fusionkit.runs.plan import RunPlan

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """The option of a command that answers as JSON."""
    text = "Print one JSON document in place of all else; notes and errors still go to standard error."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document: all of standard output."""
    click.echo(json.dumps(document, indent=1, ensure_ascii=True, default=str))


def of_run(drawn: Sequence[Drawn], sheet: Path | None = None) -> dict[str, Any]:
    """The pictures of a run, in their order."""
    return {"pictures": [_of_picture(each) for each in drawn], "sheet": None if sheet is None else str(sheet)}


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


def of_plan(plan: RunPlan, recipes: Sequence[Recipe]) -> dict[str, Any]:
    """The plan of the first of a file's recipes, and where all of their pictures go."""
    from fusionkit.cli.plan import covered, needs_of
    from fusionkit.pictures.image import output_path

    recipe, needs = plan.recipe, needs_of(plan)
    return {
        "recipe": recipe.dump(),
        "models": [
            {"name": name, "model": info.name, "kind": info.kind, "parameters": info.parameters}
            for name, info in plan.infos.items()
        ],
        "stages": [
            {
                "name": stage.plan.name,
                "size": list(stage.plan.size),
                "steps": len(stage.steps),
                "scheduler": stage.scheduler.name,
                "strength": stage.plan.strength,
                "wrap": stage.wrap,
                "views": views,
                "forward-passes": passes,
                "coverage": list(covered(plan, stage)),
            }
            for stage, views, passes in zip(plan.stages, plan.views, plan.passes, strict=True)
        ],
        "forward-passes": plan.forward_passes,
        "memory": {
            "weights": int(needs.weights),
            "canvas": int(needs.canvas),
            "forward-pass": int(needs.forward),
            "decoding": int(needs.decode),
            "total": int(needs.total),
        },
        "outputs": [
            str(output_path(each.model_copy(update={"size": recipe.size}), number))
            for number, each in enumerate(recipes, 1)
        ],
    }
