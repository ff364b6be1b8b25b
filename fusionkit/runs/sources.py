"""Where the models of a Fusion come from: pipelines that somebody has, or a recipe, wherever that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import RecipeError
from fusionkit.recipe.fields import WEIGHTS
from fusionkit.recipe.made import changed, make_recipe
from fusionkit.recipe.recipe import Recipe

if TYPE_CHECKING:
    from fusionkit.distributed.pool import Pool
    from fusionkit.loop.model import Model, ModelInfo
    from fusionkit.plugin import Plugin


@dataclass(frozen=True)
class Source:
    """What a Fusion is made of.

    Args:
        infos: What is known of the models, by name, the main one first.
        load: Loads the models for a recipe.
        recipe: What applies where a call says nothing.
        care: Within it the recipe is planned and drawn, as it may be a stranger's.
    """

    infos: Mapping[str, ModelInfo]
    load: Callable[[Recipe], Mapping[str, Model]]
    recipe: Recipe
    care: Callable[[], AbstractContextManager[object]] = nullcontext


def of_pipes(pipes: Mapping[str, Any], plugins: Sequence[Plugin], options: Mapping[str, Any]) -> Source:
    """Diffusers' pipelines that the caller already has, by name, the main one first.

    Args:
        pipes: The pipelines.
        plugins: In order of application.
        options: Any other field of a recipe.

    Raises:
        ModelError: A pipeline is of no known kind.
        RecipeError: An option is unknown, has a wrong value, or is decided by a pipeline; or there is none.
    """
    from fusionkit.models.inspect import info_of_pipeline
    from fusionkit.models.load import wrap_pipelines

    shared = {name: options.get(name) for name in ("pool", "devices")}
    if elsewhere := [name for name, value in shared.items() if value is not None]:
        raise RecipeError(
            f"{name}: a pipeline is on one device and can't be sent to others; name the model, and give it to "
            f"Fusion.from_pretrained or from_recipe"
            for name in elsewhere
        )
    if not pipes:
        raise RecipeError(["from_pipes needs a pipeline"])
    recipe = make_recipe(
        plugins=list(plugins), **{name: value for name, value in options.items() if name not in shared}
    )
    if given := [name for name in WEIGHTS if name in recipe.model_fields_set]:
        raise RecipeError(f"{name} is decided by the pipeline; set it there, before from_pipe" for name in given)

    infos = {name: info_of_pipeline(pipe) for name, pipe in pipes.items()}

    def load(recipe: Recipe) -> Mapping[str, Model]:
        return wrap_pipelines(pipes, infos, vae_tiling=recipe.vae_tiling, clip_skip=recipe.clip_skip)

    return Source(infos, load, recipe)


def of_recipe(recipe: Recipe | str | Path, download: bool, pool: Pool | None, changes: Mapping[str, Any]) -> Source:
    """A recipe: an object, a file, the name of a bundled one, or a picture that carries one.

    Args:
        recipe: The recipe; of a file with several prompts, the first counts.
        download: Whether the hub may be asked for what a picture names. For any other recipe it may.
        pool: Workers that predict the views; None are those of the recipe's `devices`, if it has any.
        changes: Fields to change, by their Python names.

    Raises:
        RecipeError: The recipe has errors; all of them.
        ModelError: Its model can't be found or is of no known kind.
    """
    from fusionkit.pictures.carried import carried, read_recipe
    from fusionkit.runs.checks import inspected

    care: Callable[[], AbstractContextManager[object]] = nullcontext
    how = None if download else "download=True fetches it"
    with ExitStack() as stack:
        if not isinstance(recipe, Recipe):
            file, carriers = read_recipe(recipe, begin=lambda: stack.enter_context(carried(how)))
            recipe = file.recipes[0]
            care = (lambda: carried(how)) if carriers else nullcontext
        recipe = changed(recipe, changes)
        if not recipe.specs:
            raise RecipeError(["a recipe needs a model: a hub id, a folder, a .safetensors file, or an embedded name"])
        infos = {name: inspected(spec) for name, spec in recipe.specs.items()}
    return Source(infos, lambda whole: _loaded(whole, infos, pool), recipe, care)


def _loaded(recipe: Recipe, infos: Mapping[str, ModelInfo], pool: Pool | None) -> Mapping[str, Model]:
    """The models of a recipe: on its device, on each of its devices, or on a pool's workers."""
    from fusionkit.models.load import load_models

    if pool is None and not recipe.devices:
        return load_models(recipe, infos)
    from fusionkit.distributed.distribute import distribute
    from fusionkit.distributed.pool import Threads

    return distribute(pool or Threads(recipe.devices or ()), recipe, infos)
