"""`fusionkit plan`: what a run would do and need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from fusionkit.cli.as_json import json_option, print_json
from fusionkit.cli.common import aside, counted, given, recipe_options, table, tell_notes

if TYPE_CHECKING:
    from fusionkit.loop.stage import Stage
    from fusionkit.recipe.recipe import Recipe
    from fusionkit.runs.plan import RunPlan


@click.command("plan", short_help="Show the stages, views, forward passes and memory of a run.")
@click.argument("recipe", metavar="RECIPE")
@recipe_options
@click.option("--time", is_flag=True, help="Load the model, time one batch of views, and say what all of them take.")
@json_option
def command(recipe: str, sets: tuple[str, ...], time: bool, as_json: bool, **options: Any) -> None:
    """Show what a recipe would do: stages, views, forward passes, coverage, memory and disk, before anything is loaded.

    RECIPE is a file, the name of a bundled recipe (see 'fusionkit recipes'), a picture that carries one, or
    - for standard input.
    """
    from fusionkit.cli.from_picture import tell_of
    from fusionkit.errors import FusionError, ModelError, RecipeError
    from fusionkit.runs.checks import check_file

    asked = given(recipe, sets, **options)
    file = asked.file
    checked = aside(check_file, file)
    infos, notes = checked.infos, tell_notes(file, checked.notes)
    tell_of(asked.carriers, file, asked.opened)

    from fusionkit.runs.run import prepare
    from fusionkit.runs.timing import timed

    try:
        plan = aside(prepare, file.recipes[0], next(iter(infos.values())), infos=infos, to_look_at=True)
    except FusionError as error:
        raise RecipeError(file.located(line) for line in str(error).splitlines()) from error
    try:
        seconds = aside(timed, plan) if time else None
        if as_json:
            print_json(aside(document, plan, file.recipes, notes, seconds))
        else:
            click.echo(aside(describe, plan, file.recipes, seconds))
    except ModelError as error:  # a prompt that is too long
        raise RecipeError([file.located(f"'prompt': {error}")]) from error


def describe(plan: RunPlan, recipes: Sequence[Recipe], seconds: float | None = None) -> str:
    """The plan of the first of a file's recipes, which differ in their prompts alone, in lines.

    Args:
        plan: The plan.
        recipes: The file's recipes.
        seconds: What its forward passes will take, where that was measured.
    """
    from fusionkit.models.encoders import encoder_notes
    from fusionkit.models.prompts.plan import prompt_lines
    from fusionkit.pictures.image import output_path
    from fusionkit.pictures.inputs import notes_on
    from fusionkit.runs.shown import described, said_by_preset

    info, recipe = plan.info, plan.recipe
    width, height = recipe.window or info.window
    if len(plan.infos) == 1:
        lines = [["model", f"{described(info)}, windows of {width}x{height} pixels"]]
    else:
        names = [f"{name}: {described(each)}" for name, each in plan.infos.items()]
        lines = [["models" if number == 0 else "", name] for number, name in enumerate(names)]
        lines.append(["window", f"{width}x{height} pixels"])
    lines += [[name, line] for name, line in prompt_lines(recipe, [each.prompt for each in recipes])]
    notes = [note for each in plan.infos.values() for note in each.notes]
    lines += [["assumed" if number == 0 else "", note] for number, note in enumerate(dict.fromkeys(notes))]
    lines.append(["plugins", ", ".join(each.plugin_name for each in recipe.plugins) or "none"])
    if plan.preset:
        lines.append(["preset", f"{plan.preset}: {said_by_preset(plan) or 'says nothing that the recipe does not'}"])
    for stage, views in zip(plan.stages, plan.views, strict=True):
        name = f"stage {stage.index + 1}" if len(plan.stages) > 1 else "stage"
        lines.append([name, _stage(stage, views)])
        lines.append(["coverage", coverage(plan, stage)])
    passes = f"{plan.forward_passes:,} of the denoiser{'s' if len(plan.infos) > 1 else ''}"
    if plan.forward_passes == 2 * sum(plan.views):
        passes += f", with and without the prompt for each of {sum(plan.views):,} views"
    elif plan.forward_passes != sum(plan.views):
        passes += f" for {sum(plan.views):,} views"
    lines.append(["passes", passes + (f"; for each of {len(recipes)} pictures" if len(recipes) > 1 else "")])
    lines.append(["memory", memory(plan)])
    lines.append(["disk", disk(plan)])
    if seconds is not None:
        lines.append(["time", f"about {duration(seconds)} of forward passes, by one batch that was timed here"])
    for number, each in enumerate(recipes, 1):
        path = output_path(each.model_copy(update={"size": recipe.size}), number)
        lines.append(["output" if number == 1 else "", str(path)])
    lines += [["note", note] for note in (*encoder_notes(recipe.specs), *notes_on(recipe))]
    return table(lines)


def coverage(plan: RunPlan, stage: Stage) -> str:
    """In how many views the pixels of a stage are; that none is left out has been checked."""
    low, high = covered(plan, stage)
    return f"complete; each pixel is in {low if low == high else f'{low} to {high}'} view{'' if high == 1 else 's'}"


def covered(plan: RunPlan, stage: Stage) -> tuple[int, int]:
    """In how many views each pixel of a stage is, at least and at most."""
    import torch

    from fusionkit.loop.canvas import scatter
    from fusionkit.loop.denoise import ask_views

    counts = torch.zeros(1, 1, *stage.canvas)
    for patches in ask_views(stage, stage.steps[0], plan.hooks):
        scatter(torch.ones(len(patches.views), 1, *patches.size), patches.views, counts)
    return int(counts.min()), int(counts.max())


def memory(plan: RunPlan) -> str:
    """A rough estimate of what a run needs, where it computes."""
    from fusionkit.models.memory import room_for
    from fusionkit.pictures.image import in_bytes
    from fusionkit.runs.shown import needs_of

    needs = needs_of(plan)
    parts = {
        "weights": needs.weights,
        "canvas": needs.canvas,
        "a forward pass": needs.forward,
        "decoding": needs.decode,
    }
    room = room_for(plan.recipe)
    least = f"; more than the {in_bytes(room)} that are here" if needs.total > room else ""
    parted = ", ".join(f"{name} {in_bytes(size)}" for name, size in parts.items())
    return f"about {in_bytes(needs.total)} ({parted}){least}"


def disk(plan: RunPlan) -> str:
    """What a run takes on the disk, at most."""
    import shutil

    from fusionkit.pictures.files import existing, in_bytes
    from fusionkit.pictures.image import output_path

    needs, there = plan.disk, existing(output_path(plan.recipe).parent)
    parts = [f"up to {in_bytes(needs.picture)} for the picture"]
    if needs.meanwhile:
        parts.append(f"{in_bytes(needs.meanwhile)} while it is drawn, for canvas and pixels in files")
    free = shutil.disk_usage(there).free
    return ", and ".join(parts) + (f"; more than the {in_bytes(free)} that are free" if needs.total > free else "")


def duration(seconds: float) -> str:
    """Seconds as people say them: 48 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _stage(stage: Stage, views: int) -> str:
    from fusionkit.runs.shown import besides, own_name

    width, height = stage.plan.size
    steps = len(stage.steps)
    each = f"{views // steps}" if views % steps == 0 else f"{views / steps:.1f}"
    name = f"{special}: " if (special := own_name(stage)) else ""
    of_views = "1 view" if views == steps else f"{each} views"
    told = f"{name}{width}x{height} pixels, {counted(steps, 'step')} of {stage.scheduler.name} with {of_views} each"
    return "; ".join([told, *besides(stage)])


def document(
    plan: RunPlan, recipes: Sequence[Recipe], notes: Sequence[str], seconds: float | None = None
) -> dict[str, Any]:
    """The plan of the first of a file's recipes, and where all of their pictures go, as JSON has it."""
    from fusionkit.models.encoders import encoder_notes
    from fusionkit.pictures.image import output_path
    from fusionkit.pictures.inputs import notes_on
    from fusionkit.runs.shown import needs_of

    recipe, needs = plan.recipe, needs_of(plan)
    return {
        "recipe": recipe.dump(),
        "models": [
            {"name": name, "model": info.name, "kind": info.kind, "parameters": info.parameters}
            for name, info in plan.infos.items()
        ],
        "preset": {"name": plan.preset, "set": dict(plan.by_preset)} if plan.preset else None,
        "stages": [
            {
                "name": stage.plan.name,
                "size": list(stage.plan.size),
                "frame": list(stage.frame),
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
        "disk": {"picture": plan.disk.picture, "meanwhile": plan.disk.meanwhile, "total": plan.disk.total},
        "seconds": seconds,
        "outputs": [
            str(output_path(each.model_copy(update={"size": recipe.size}), number))
            for number, each in enumerate(recipes, 1)
        ],
        "notes": [*notes, *encoder_notes(recipe.specs), *notes_on(recipe)],
    }
