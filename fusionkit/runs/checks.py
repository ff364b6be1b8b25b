"""What can be said of a recipe without torch: its model, sizes, scheduler, plugins and output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fusionkit.errors import FusionError, PluginError, RecipeError
from fusionkit.keeping import Shelf
from fusionkit.loop.manager import Manager
from fusionkit.loop.stage import Stage
from fusionkit.models.compatibility import misfits
from fusionkit.models.inspect import inspect_model
from fusionkit.models.lora.loras import check_loras
from fusionkit.models.schedulers.by_name import by_name
from fusionkit.models.schedulers.flows import resamples
from fusionkit.models.schedulers.schedules import schedule_problems
from fusionkit.models.suits import unsuitable_options, unused_models
from fusionkit.pictures.image import output_path, output_problems, recipe_problem
from fusionkit.pictures.inputs import is_read
from fusionkit.recipe.costs import cost_problems
from fusionkit.recipe.schedulers import is_foreign
from fusionkit.recipe.sizes import size_problems, step_problems
from fusionkit.runs.notes import notes_of
from fusionkit.runs.plan import completed

if TYPE_CHECKING:
    from pathlib import Path

    from fusionkit.loop.model import ModelInfo
    from fusionkit.loop.stage import StagePlan
    from fusionkit.recipe.problems import Location
    from fusionkit.recipe.recipe import ModelSpec, Recipe
    from fusionkit.recipe.recipe_file import RecipeFile

NO_MODEL = (
    "a recipe needs a model: a hub id, a folder, a .safetensors file, or an embedded one (see 'fusionkit models')"
)


@dataclass(frozen=True)
class NamedScheduler:
    """A scheduler as far as its name and options tell; plugins' `check` may ask for no more without torch."""

    name: str
    stochastic: bool
    resamples: bool = False


@dataclass(frozen=True)
class Checked:
    """What is known of a recipe file in which nothing is wrong.

    Args:
        infos: What is known of its models, by their names, the main one first.
        notes: What can be drawn and is hardly what is meant, a line each, without its place in the file.
    """

    infos: Mapping[str, ModelInfo]
    notes: Sequence[str]


def check_file(
    file: RecipeFile, *, skip_existing: bool = False, known: Mapping[str, ModelInfo] | None = None
) -> Checked:
    """Check a recipe file as far as that goes without torch.

    Args:
        file: The file.
        skip_existing: Pictures whose files are there need no room on the disk.
        known: What is known of its models, where that was asked before, as for other files of the same ones.

    Raises:
        RecipeError: All problems, each with its place in the file.
    """
    problems: list[tuple[str, Location]] = []

    def collect(ask: Callable[[], Any], at: Location = ()) -> Any:
        try:
            return ask()
        except FusionError as error:
            add(str(error).split("\n"), at)

    def add(lines: Iterable[str], at: Location = ()) -> None:
        problems.extend((line, at) for line in lines)

    recipe, too_large, size = file.recipes[0], list[str](), None
    infos: dict[str, ModelInfo] = {}
    ask_notes: Callable[[], Sequence[str]] = list
    if not recipe.specs:
        add([NO_MODEL])
    for name, spec in recipe.specs.items():
        at: Location = ("models", name) if recipe.models else ()
        look = partial(inspected, spec) if known is None else partial(known.__getitem__, name)
        if (found := collect(look, at or ("model",))) is not None:
            infos[name] = found
        add(check_loras(spec, found), (*at, "loras"))
    if complete := len(infos) == len(recipe.specs) > 0:
        add([*misfits(infos), *unused_models(recipe, infos)])
    whole = collect(partial(completed, recipe, next(iter(infos.values())))) if complete else None
    hooks: Manager | None = collect(lambda: Manager((whole or recipe).plugins))
    if whole is not None:
        recipe = whole
        info = next(iter(infos.values()))
        add(unsuitable_options(recipe, infos))
        scheduler = collect(lambda: named_scheduler(recipe, info))
        wrong_sizes = size_problems(recipe, info)
        add(wrong_sizes)
        too_large = cost_problems(recipe, info.window)
        fits = scheduler is not None and not wrong_sizes and not too_large
        ask = None if hooks is None or not fits else partial(hooks.ask, "plan_stages", recipe=recipe, info=info)
        if hooks is not None and ask is not None and (plans := collect(ask)):
            size = plans[-1].size
            stages = stages_of(recipe, infos, scheduler, plans)
            add(collect(partial(_stage_problems, recipe, infos, hooks, stages)) or ())
            ask_notes = partial(_notes, file.recipes, infos, stages, hooks)
    paths = [output_path(each.model_copy(update={"size": recipe.size}), n) for n, each in enumerate(file.recipes, 1)]
    # A size that no disk could hold is told first.
    where: Location = ("output",) if "output" in file.tree.value else ()
    add([*_one_name_for_several(recipe, paths), *_written_over(recipe, paths)], where)
    new = [path for path in paths if not (skip_existing and path.is_file())]
    add(output_problems(new, size or recipe.size) or too_large)
    add(line for each, path in zip(file.recipes, paths, strict=True) if (line := recipe_problem(each, path)))
    notes = () if problems else collect(ask_notes)
    if problems:
        raise RecipeError(dict.fromkeys(file.located(problem, place) for problem, place in problems))
    return Checked(infos, notes)


def _notes(
    recipes: Sequence[Recipe], infos: Mapping[str, ModelInfo], stages: Sequence[Stage], hooks: Manager
) -> Sequence[str]:
    """The notes on a file's recipes."""
    try:
        return notes_of(recipes, infos, stages, hooks)
    except PluginError:
        # As of `check`: a plugin that asks for more than a scheduler's name is asked again, of the run's own stages.
        from fusionkit.runs.run import prepare

        plan = prepare(recipes[0], next(iter(infos.values())), infos=infos, to_look_at=True)
        return notes_of(recipes, infos, plan.stages, plan.hooks)


def _one_name_for_several(recipe: Recipe, paths: Sequence[Path]) -> list[str]:
    """One line where pictures of one run would replace each other."""
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if not (recipe.overwrite and twice):
        return []
    return [f"several prompts would be written to '{twice[0]}', each over the one before; add {{index}} or {{prompt}}"]


def _written_over(recipe: Recipe, paths: Sequence[Path]) -> list[str]:
    """One line for each picture that would replace what the recipe reads."""
    kept = [path for path in dict.fromkeys(paths) if recipe.overwrite and is_read(recipe, path)]
    line = "is a file that the recipe reads, which is not replaced; give another name: -o PATH"
    return [f"output '{path}' {line}" for path in kept]


def inspected(spec: ModelSpec) -> ModelInfo:
    """What is known of one of a recipe's models.

    Raises:
        ModelError: The model can't be found, or is of no known kind.
    """
    return inspect_model(spec.model, base=spec.base, revision=spec.revision, variant=spec.variant)


def named_scheduler(recipe: Recipe, info: ModelInfo) -> NamedScheduler:
    """The recipe's scheduler, or else the model's, without diffusers.

    Whether it draws noise is told by its class, and by the options that turn noise on or off.

    Raises:
        RecipeError: It is unknown, has no such options, or can't make the recipe's steps as it is set; all problems.
    """
    spec = recipe.scheduler
    if problems := schedule_problems(info, spec, recipe.steps):
        raise RecipeError(problems)
    if spec is None:
        name, options = str(info.scheduler), dict(info.scheduler_config)
    else:
        name, fixed = by_name(spec.name)
        options = {**fixed, **given_options(recipe)}
    return NamedScheduler(name, _draws_noise(name, options), resamples(name, options))


def given_options(recipe: Recipe) -> dict[str, Any]:
    """The options of a recipe's scheduler, spelt as in diffusers."""
    return {} if recipe.scheduler is None else {k.replace("-", "_"): v for k, v in recipe.scheduler.options.items()}


# Options of a scheduler that need no more than a right value; with others diffusers may refuse what they make together.
_TOLD_BY_VALUE = frozenset(
    {"beta_end", "beta_schedule", "beta_start", "clip_sample", "eta", "prediction_type", "s_churn", "s_noise", "shift"}
    | {"set_alpha_to_one", "skip_prk_steps", "stochastic_sampling", "thresholding", "timestep_spacing"}
    | {"use_karras_sigmas"}
)
_DRAW_ALWAYS = ("DDPM", "AncestralDiscrete", "LCM", "SASolver", "SDE")
_DRAW_WITH = {
    "FlowMatchEuler": ("stochastic_sampling", False),
    "AncestralRF": ("eta", 1.0),
    "DDIM": ("eta", 0.0),
    "TCD": ("eta", 0.3),
    "Euler": ("s_churn", 0.0),
    "Heun": ("s_churn", 0.0),
}


def _draws_noise(name: str, options: dict[str, Any]) -> bool:
    if any(part in name for part in _DRAW_ALWAYS) or str(options.get("algorithm_type", "")).startswith("sde"):
        return True
    switch, default = next((each for part, each in _DRAW_WITH.items() if part in name), ("", 0.0))
    return bool(options.get(switch, default))


def _stage_problems(
    recipe: Recipe, infos: Mapping[str, ModelInfo], hooks: Manager, stages: Sequence[Stage]
) -> Sequence[str]:
    """What the plugins say of the stages."""
    info, plans, scheduler = next(iter(infos.values())), [stage.plan for stage in stages], stages[0].scheduler
    problems = size_problems(recipe, info, plans) + step_problems(recipe, plans)
    if problems := problems or cost_problems(recipe, info.window, plans):
        return problems
    numbers = dict.fromkeys(plan.steps for plan in plans if plan.steps is not None)
    if problems := [line for steps in numbers for line in schedule_problems(info, recipe.scheduler, steps)]:
        return problems
    if is_foreign(scheduler.name) or not given_options(recipe).keys() <= _TOLD_BY_VALUE:
        return _planned_problems(recipe, infos)
    try:
        return [line for stage in stages for lines in hooks.ask("check", stage=stage) for line in lines]
    except PluginError:
        # The plugin asks for more than a scheduler's name: only the run's own check, with torch, can answer it.
        return _planned_problems(recipe, infos)


def stages_of(
    recipe: Recipe, infos: Mapping[str, ModelInfo], scheduler: Any, plans: Sequence[StagePlan]
) -> list[Stage]:
    """The stages of a run as far as they are known without torch; they share what plugins keep for the run."""
    info = next(iter(infos.values()))
    shared: dict[str, Any] = {"memory": Shelf(), "infos": infos, "finished": plans[-1].frame_at(recipe.size)}
    return [Stage(plan, index, recipe, info, scheduler, **shared) for index, plan in enumerate(plans)]


def _planned_problems(recipe: Recipe, infos: Mapping[str, ModelInfo]) -> Sequence[str]:
    """What planning finds, with torch: where names alone do not tell whether a scheduler works."""
    from fusionkit.runs.run import prepare

    try:
        prepare(recipe, next(iter(infos.values())), infos=infos, to_look_at=True)
    except FusionError as error:
        return str(error).split("\n")
    return []
