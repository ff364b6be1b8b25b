"""A run: planned and checked without the model's weights, then executed stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, count
from traceback import clear_frames
from typing import TYPE_CHECKING, Any

from fusionkit.errors import CanvasError, FusionError, PluginError, RecipeError
from fusionkit.foreign import out_of_memory
from fusionkit.keeping import Shelf
from fusionkit.loop.manager import Manager
from fusionkit.loop.stage import Stage
from fusionkit.plugin import Plugin
from fusionkit.runs.plan import RunPlan, completed_by
from fusionkit.runs.shortage import shortage

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit.loop.denoise import Begun, StepEnded
    from fusionkit.loop.model import Model, ModelInfo
    from fusionkit.recipe.recipe import Recipe


def prepare(
    recipe: Recipe,
    info: ModelInfo,
    observers: Sequence[Plugin] = (),
    device: Any = "cpu",
    *,
    infos: Mapping[str, ModelInfo] | None = None,
    to_look_at: bool = False,
) -> RunPlan:
    """Plan a run and check all of it, without the model's weights.

    Args:
        recipe: The recipe; where it is silent the model's defaults apply.
        info: What is known of the model, or of the main one.
        observers: Plugins beside the recipe's, for progress and previews.
        device: Where the canvas will live; None is the recipe's device, and whether it suits this machine is asked.
        infos: What is known of all models by the recipe's names, the main one first; None where there is one.
        to_look_at: The plan is only shown: it may need more memory than this machine has, if the canvas fits.

    Raises:
        RecipeError: Something in the recipe makes no sense; holds all problems.
        PluginError: A plugin does not fit the hooks.
    """
    from fusionkit.loop.denoise import check_coverage
    from fusionkit.loop.in_strips import InStrips
    from fusionkit.models.compatibility import misfits, mixing_problems
    from fusionkit.models.load import ready_device
    from fusionkit.models.memory import memory_problems, models_beside
    from fusionkit.models.schedulers.flows import window_tokens
    from fusionkit.models.schedulers.make import make_scheduler
    from fusionkit.models.suits import unsuitable_options, unused_models
    from fusionkit.recipe.costs import cost_problems, too_many_in_all
    from fusionkit.recipe.sizes import size_problems, step_problems
    from fusionkit.runs.checkpoints.snapshot import keeping_problems
    from fusionkit.runs.notes import notes_of
    from fusionkit.runs.room import disk_needs, disk_problems, room_of

    preset = recipe.preset.name if recipe.preset else ""
    recipe, by_preset = completed_by(recipe, info)
    infos = infos or {"model": info}
    device = ready_device(recipe, infos) if device is None else device
    unfit = misfits(infos) + unused_models(recipe, infos) + unsuitable_options(recipe, infos)
    beside = models_beside(infos, recipe)
    hooks = Manager([*recipe.plugins, *observers])
    if untyped := [line for kind in dict.fromkeys(map(type, recipe.plugins)) for line in keeping_problems(kind)]:
        raise PluginError("\n".join(untyped))
    if problems := size_problems(recipe, info) + cost_problems(recipe, info.window) + unfit:
        raise RecipeError(problems)
    plans = hooks.ask("plan_stages", recipe=recipe, info=info)
    room = room_of(recipe, info, plans, device)
    fits = partial(memory_problems, info, recipe, plans, beside=beside, canvas_only=to_look_at, on_disk=room.on_disk)
    needs = disk_needs(room, recipe, info, plans, with_canvas=str(device).startswith("cpu"))
    # How many views a group has is not known yet; one needs the least.
    if (
        problems := size_problems(recipe, info, plans) + step_problems(recipe, plans)
        or cost_problems(recipe, info.window, plans)
        or fits(most=1)
        or ([] if to_look_at else disk_problems(room, needs))
    ):
        raise RecipeError(problems)

    memory: Shelf = {}
    shared: dict[str, Any] = {"memory": memory, "infos": infos, "hooks": hooks}
    shared["room"], shared["finished"] = room, plans[-1].frame_at(recipe.size)
    stages = []
    for index, stage_plan in enumerate(plans):
        steps = stage_plan.steps or recipe.steps
        across, down = (min(sides) for sides in zip(recipe.window or info.window, stage_plan.size, strict=True))
        tokens = window_tokens(info, (across, down))
        scheduler = make_scheduler(info, recipe.scheduler, steps, device, stage_plan.skipped(steps), tokens)
        if room.on_disk and getattr(scheduler, "is_local", False):
            scheduler = InStrips(scheduler, room)
        stages.append(Stage(stage_plan, index, recipe, info, scheduler, **shared))
    problems = mixing_problems(infos, stages[0].scheduler)
    problems += [line for stage in stages for lines in hooks.ask("check", stage=stage) for line in lines]
    if problems:
        raise RecipeError(dict.fromkeys(problems))
    try:
        counts: list[tuple[int, int]] = []
        for stage in stages:
            counts.append(check_coverage(stage, hooks))
            if problem := too_many_in_all(sum(views for views, _ in counts)):
                raise RecipeError([problem])
    except CanvasError as error:
        raise RecipeError(str(error).splitlines()) from error
    views, passes = zip(*counts, strict=True)
    notes = tuple(notes_of([recipe], infos, stages, hooks))
    plan = RunPlan(recipe, info, hooks, stages, views, passes, infos, notes, preset, by_preset, needs)
    if problems := fits(most=plan.largest_group):
        raise RecipeError(problems)
    return plan


def picture_latents(plan: RunPlan) -> Tensor | None:
    """The encoded picture (1, C, h, w) that stands in for a stage before the first; None without one."""
    from fusionkit.pictures.picture import is_enlarged, open_picture

    first = plan.stages[0]
    if first.plan.picture is None:
        return None
    picture, network, size = open_picture(first.plan.picture), first.plan.network, first.plan.picture_size
    if network is not None and is_enlarged(picture.size, first.begun_at):
        from fusionkit.models.enlarging import enlarged_by

        picture = enlarged_by(network, picture, first.begun_at, first.device, first.wrap)
    return first.encode(first.laid(picture, size))


def decoded(plan: RunPlan, model: Model, latents: Tensor) -> Image:
    """The picture of a run's last canvas.

    What lies beyond its frame is there still.

    Args:
        plan: The run.
        model: The model, or the main one.
        latents: Clean latents, (1, C, H, W).

    Raises:
        NumericalError: The latents, or the picture, have values that are not finite.
        PluginError: A plugin failed, or its answer does not fit.
    """
    last = plan.stages[-1]
    last.model, last.models = model, last.models or {"model": model}
    return last.decode(latents)


def ask_maps(plan: RunPlan, image: Image) -> dict[str, Image]:
    """The plugins' pictures of how a run that has ended went, by name, in the recipe's order.

    Args:
        plan: The run.
        image: The picture of the whole canvas; maps of its size are cut as it is.

    Raises:
        PluginError: A plugin failed, or its answer does not fit.
    """
    maps: dict[str, Image] = {}
    # The hook is asked of the last plugin first.
    for answer in reversed(plan.hooks.ask("maps", stage=plan.stages[-1], image=image)):
        for name, picture in answer.items():
            free = next(each for each in chain([name], (f"{name}-{n}" for n in count(2))) if each not in maps)
            maps[free] = plan.stages[-1].cut(picture)
    return maps


def execute(
    plan: RunPlan,
    model: Model,
    models: Mapping[str, Model] | None = None,
    begun: Begun | None = None,
    step_ended: StepEnded | None = None,
) -> Tensor:
    """Run all stages of a plan, once, and return the last one's clean latents, (1, C, H, W).

    Args:
        plan: The run.
        model: The model, or the main one.
        models: All models by the recipe's names, the main one first; None where there is one.
        begun: Where it goes on, if it was begun before.
        step_ended: Told of each step, after all plugins.
    """
    from fusionkit.loop.denoise import denoise

    with told_of_shortage(plan, model, lambda: plan.hooks.where or "before the first stage"):
        for stage in plan.stages:
            stage.model, stage.models = model, models or {"model": model}
        latents = picture_latents(plan) if begun is None else begun.previous
        for stage in plan.stages[0 if begun is None else begun.stage :]:
            stage.previous = latents
            latents = denoise(stage, plan.hooks, begun, step_ended)
            begun = None
            if stage is not plan.stages[-1]:
                stage.let_go()
    assert latents is not None, "a run has at least one stage"
    return latents


@contextmanager
def told_of_shortage(
    plan: RunPlan, model: Model, where: Callable[[], str], *, decoding: bool = False
) -> Iterator[None]:
    """Where memory runs out within the block, say what was computed and what would need less.

    Args:
        plan: The run.
        model: The model, or the main one.
        where: What is computed, as the error names it.
        decoding: Whether a picture is decoded.

    Raises:
        OutOfMemory: It did.
    """
    try:
        yield
    except FusionError:
        raise
    except Exception as error:
        if not out_of_memory(error):
            raise
        # What the attempt held is let go, for whoever tries again with less.
        clear_frames(error.__traceback__)
        batch = min(plan.recipe.batch_size or model.largest_batch, plan.largest_group)
        raise shortage(plan.recipe, where(), str(model.device), batch, decoding=decoding) from error
