"""Going on with a run: its checkpoint found, compared with what is to be run, and put into a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import CheckpointError, FusionError
from fusionkit.runs.checkpoints.checkpoint import Checkpoint, alike, read_checkpoint
from fusionkit.runs.checkpoints.identity import changes, identity_of, notes, picture_of, recipe_changes
from fusionkit.runs.checkpoints.snapshot import put_back

if TYPE_CHECKING:
    from fusionkit.loop.denoise import Begun
    from fusionkit.loop.model import Model
    from fusionkit.recipe.recipe import Recipe
    from fusionkit.runs.plan import RunPlan


def find_checkpoint(path: Path, recipe: Recipe) -> Checkpoint | None:
    """The checkpoint of a recipe that is furthest, among those that a run would give this path; None without any.

    Args:
        path: Where a run gives its checkpoint.
        recipe: The recipe, with all defaults.

    Raises:
        CheckpointError: There are some, and they are of other recipes, damaged, or of another version.
    """
    found, problems = [], []
    for each in alike(path):
        try:
            checkpoint = read_checkpoint(each)
        except FusionError as error:
            problems.append(str(error))
            continue
        if different := _different(checkpoint, recipe):
            problems.append(different)
        else:
            found.append(checkpoint)
    if problems and not found:
        raise CheckpointError("\n".join(problems))
    return max(found, key=lambda each: each.progress.steps_done, default=None)


def recipe_in(checkpoint: Checkpoint) -> Recipe:
    """The recipe that a checkpoint is of.

    Raises:
        CheckpointError: It holds values that only Python can hold, or plugins that are not installed.
    """
    from pydantic import ValidationError

    from fusionkit.recipe.problems import problems_of
    from fusionkit.recipe.recipe import Recipe

    if checkpoint.identity.values:
        names = ", ".join(checkpoint.identity.values)
        raise CheckpointError(
            f"checkpoint '{checkpoint.path}' is of a run with values that no file holds ({names}); make the Fusion as "
            f"before, and use run(recipe, checkpoint='{checkpoint.path}', resume=True)"
        )
    try:
        return Recipe.model_validate(dict(checkpoint.identity.recipe))
    except ValidationError as error:
        lines = (f"checkpoint '{checkpoint.path}': {line}" for line in problems_of(error, Recipe))
        raise CheckpointError("\n".join(lines)) from None


def _different(checkpoint: Checkpoint, recipe: Recipe) -> str:
    """Why a checkpoint is of another recipe, in one line; empty where it is of this one."""
    then, decoding = checkpoint.identity, checkpoint.progress.only_decoding_is_left
    differing = recipe_changes(then.recipe, recipe.dump(), decoding)
    if not differing and not decoding and then.picture != picture_of(recipe):
        differing = ["a file that it reads, or a value of a plugin's option, is another one"]
    return _refusal(checkpoint, differing) if differing else ""


def _refusal(checkpoint: Checkpoint, differing: list[str]) -> str:
    return (
        f"checkpoint '{checkpoint.path}' is of another run: {'; '.join(differing)}; leave that as it was, or begin "
        f"anew without --resume"
    )


def go_on(
    checkpoint: Checkpoint, plan: RunPlan, models: Mapping[str, Model], device: Any, told: Callable[[str], None]
) -> Begun:
    """Let a fresh plan, and the models, be as they were at a checkpoint.

    Args:
        checkpoint: Of the run.
        plan: The run, planned again.
        models: Its models by name.
        device: Of the canvas.
        told: Told in one line each what may change the last bits.

    Raises:
        CheckpointError: It is of another run, or damaged.
    """
    now = identity_of(plan.recipe, models)
    decoding = checkpoint.progress.only_decoding_is_left
    if differing := list(changes(checkpoint.identity, now, decoding)):
        raise CheckpointError(_refusal(checkpoint, differing))
    if not decoding and (noted := list(notes(checkpoint.identity, now))):
        told(f"the picture may differ in its last bits: {'; '.join(noted)}")
    try:
        begun = put_back(checkpoint.snapshot(), plan, device)
        for name, batches in checkpoint.progress.batches.items():
            for height, width, size in batches:
                models[name].batches[height, width] = size
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint '{checkpoint.path}' is damaged ({type(error).__name__}: {error})") from error
    except FusionError as error:
        text = str(error) if str(checkpoint.path) in str(error) else f"checkpoint '{checkpoint.path}' {error}"
        raise CheckpointError(text) from error
    return begun
