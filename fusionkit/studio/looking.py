"""What is told of a draft before it is drawn: whether it can be, what it takes, and how long such runs took before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit.errors import FusionError, RecipeError
from fusionkit.runs.checks import check_file
from fusionkit.studio.drafts import Draft, Problem


def checked(draft: Draft) -> tuple[list[Problem], list[str]]:
    """What is wrong with a draft, and what is noted of it, as far as that can be told without torch."""
    try:
        with draft.care():
            return [], list(check_file(draft.read()).notes)
    except FusionError as error:
        return draft.problems(error), []


def planned(draft: Draft) -> tuple[list[Problem], dict[str, Any]]:
    """What is wrong with a draft, or else what it takes: passes, views, steps, memory in bytes, and its stages."""
    from fusionkit.runs.checks import inspected
    from fusionkit.runs.run import prepare
    from fusionkit.runs.shown import needs_of

    try:
        with draft.care():
            file = draft.read()
            recipe = file.recipes[0]
            infos = {name: inspected(spec) for name, spec in recipe.specs.items()}
            try:
                plan = prepare(recipe, next(iter(infos.values())), infos=infos, to_look_at=True)
            except RecipeError as error:
                raise RecipeError([file.located(line) for line in error.problems]) from error
    except FusionError as error:
        return draft.problems(error), {}
    needs = needs_of(plan)
    return [], {
        "pictures": len(file.recipes),
        "steps": plan.steps,
        "views": sum(plan.views),
        "forward-passes": plan.forward_passes,
        "memory": int(needs.total),
        "size": list(plan.stages[-1].frame),
        "stages": [
            {"size": list(stage.plan.size), "steps": len(stage.steps), "views": views}
            for stage, views in zip(plan.stages, plan.views, strict=True)
        ],
        "model": model_key(recipe.model_dump(mode="json")),
        "seed": recipe.seed,
        "window": list(recipe.window or plan.info.window),
        "used": recipe_of_plan(plan.recipe.dump()),
    }


def recipe_of_plan(dumped: Mapping[str, Any]) -> dict[str, Any]:
    """What the model's own defaults make of keys where a recipe is silent, for the controls to show."""
    return {key: value for key, value in dumped.items() if key not in ("plugins", "models", "loras", "model")}


def model_key(dumped: Mapping[str, Any]) -> str:
    """Which models a recipe asks, as one text."""
    models = dumped.get("models") or {}
    return " + ".join(spec["model"] for spec in models.values()) if models else str(dumped.get("model"))
