"""What can be said of a recipe without torch: its model, sizes, scheduler, plugins and output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusionkit.errors import FusionError, PluginError, RecipeError
from fusionkit.image import output_path, output_problems
from fusionkit.manager import Manager
from fusionkit.models.inspect import inspect_model
from fusionkit.models.lora import check_loras
from fusionkit.models.schedulers import SHORT_NAMES, resolve
from fusionkit.run import completed, size_problems
from fusionkit.stage import Stage

if TYPE_CHECKING:
    from fusionkit.models import ModelInfo
    from fusionkit.recipe import Recipe
    from fusionkit.recipe_file import RecipeFile

NO_MODEL = (
    "a recipe needs a model: a hub id, a folder, a .safetensors file, or an embedded one (see 'fusionkit models')"
)


@dataclass(frozen=True)
class NamedScheduler:
    """A scheduler as far as its name and options tell; plugins' `check` may ask for no more without torch."""

    name: str
    stochastic: bool


def check_file(file: RecipeFile) -> ModelInfo:
    """Check a recipe file as far as that goes without torch, and tell what is known of its model.

    Raises:
        RecipeError: All problems, each with its place in the file.
    """
    problems: list[str] = []

    def collect(ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except FusionError as error:
            problems.extend(str(error).splitlines())

    recipe = file.recipes[0]
    info: ModelInfo | None = collect(lambda: inspected(recipe))
    problems += check_loras(recipe.loras)
    hooks: Manager | None = collect(lambda: Manager(recipe.plugins))
    scheduler = None
    if info is not None:
        whole = recipe = completed(recipe, info)
        scheduler = collect(lambda: named_scheduler(whole, info))
        wrong_sizes = size_problems(recipe, info)
        problems += wrong_sizes
        if hooks is not None and scheduler is not None and not wrong_sizes:
            problems += _stage_problems(recipe, info, hooks, scheduler)
    paths = [output_path(each.model_copy(update={"size": recipe.size}), n) for n, each in enumerate(file.recipes, 1)]
    problems += output_problems(paths, recipe.size)
    if problems:
        raise RecipeError(dict.fromkeys(file.located(problem) for problem in problems))
    assert info is not None
    return info


def inspected(recipe: Recipe) -> ModelInfo:
    """What is known of a recipe's model.

    Raises:
        RecipeError: The recipe names none.
        ModelError: The model can't be found, or is of no known kind.
    """
    if recipe.model is None:
        raise RecipeError([NO_MODEL])
    return inspect_model(recipe.model, revision=recipe.revision, variant=recipe.variant)


def named_scheduler(recipe: Recipe, info: ModelInfo) -> NamedScheduler:
    """The recipe's scheduler, or else the model's, without diffusers.

    Whether it draws noise is told by its class, and by the options that turn noise on or off.
    """
    spec = recipe.scheduler
    if spec is None:
        name, options = info.scheduler, dict(info.scheduler_config)
    else:
        fixed = SHORT_NAMES.get(spec.name.lower().replace("_", "-"), ("", {}))[1]
        name, options = (
            resolve(spec),
            {**fixed, **{key.replace("-", "_"): value for key, value in spec.options.items()}},
        )
    return NamedScheduler(name, _draws_noise(name, options))


_DRAW_ALWAYS = ("DDPM", "Ancestral", "LCM", "SASolver", "SDE")
_DRAW_WITH = {"DDIM": ("eta", 0.0), "TCD": ("eta", 0.3), "Euler": ("s_churn", 0.0), "Heun": ("s_churn", 0.0)}


def _draws_noise(name: str, options: dict[str, Any]) -> bool:
    if any(part in name for part in _DRAW_ALWAYS) or str(options.get("algorithm_type", "")).startswith("sde"):
        return True
    switch, default = next((each for part, each in _DRAW_WITH.items() if part in name), ("", 0.0))
    return bool(options.get(switch, default))


def _stage_problems(recipe: Recipe, info: ModelInfo, hooks: Manager, scheduler: Any) -> Sequence[str]:
    """What the plugins say of the stages."""
    plans = hooks.ask("plan_stages", recipe=recipe, info=info)
    if problems := size_problems(recipe, info, plans):
        return problems
    memory: dict[str, Any] = {}
    stages = [Stage(plan, index, recipe, info, scheduler, memory=memory) for index, plan in enumerate(plans)]
    try:
        return [line for stage in stages for lines in hooks.ask("check", stage=stage) for line in lines or ()]
    except PluginError:
        # The plugin asks for more than a scheduler's name: only the run's own check, with torch, can answer it.
        from fusionkit.run import prepare

        try:
            prepare(recipe, info)
        except FusionError as error:
            return str(error).splitlines()
        return []
