"""From a recipe and a pool to models whose forward passes the pool makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fusionkit.distributed.model import DistributedModel
from fusionkit.distributed.pool import Pool
from fusionkit.distributed.tasks import Load, Meet
from fusionkit.distributed.values import Loaded, Weights
from fusionkit.errors import ModelError, RecipeError
from fusionkit.models.devices import devices_of, pick_device
from fusionkit.models.load import check_machine
from fusionkit.models.prompts.plan import length_problems
from fusionkit.models.suits import pool_problems

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo
    from fusionkit.recipe.recipe import Recipe


def distribute(pool: Pool, recipe: Recipe, infos: Mapping[str, ModelInfo]) -> dict[str, DistributedModel]:
    """A recipe's models, by name, loaded by every worker of a pool.

    Args:
        pool: The workers.
        recipe: The recipe.
        infos: What is known of its models, by name, the main one first.

    Raises:
        RecipeError: Something in it can't be done by several workers, or does not fit its model; all problems at once.
        ModelError: The weights can't be loaded, or differ from worker to worker.
    """
    if problems := pool_problems(recipe) + check_machine(recipe, infos, download=True) + length_problems(recipe):
        raise RecipeError(problems)
    # The canvas, and the steps, are where one device would have them.
    device = pick_device(devices_of(recipe)[0])
    weights = pool.share(Weights(_bare(recipe, pool), dict(infos)))
    loaded: list[Mapping[str, Loaded]] = [answer.value for answer in pool.prepare(Load(weights))]
    models: dict[str, DistributedModel] = {}
    for name, info in infos.items():
        each = [worker[name] for worker in loaded]
        if len({(worker.fingerprint, worker.dtype) for worker in each}) > 1:
            raise ModelError(f"model '{name}' ({info.name}) is not the same on all workers; give them one copy of it")
        models[name] = DistributedModel(name, info, pool, weights, each, device)
    for model in models.values():
        model.among(models)
    return models


def _bare(recipe: Recipe, pool: Pool) -> Recipe:
    """What workers load: without plugins, and with one type of numbers for all of them."""
    kinds = {answer.value in ("cuda", "xpu") for answer in pool.prepare(Meet())} if recipe.dtype == "auto" else ()
    dtype = "float32" if len(kinds) > 1 else recipe.dtype
    return recipe.model_copy(update={"plugins": [], "devices": None, "dtype": dtype})
