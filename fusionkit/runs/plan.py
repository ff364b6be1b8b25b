"""A run that has been checked and can start, and the recipe of one, completed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from fusionkit.errors import ModelError
from fusionkit.loop.manager import Manager
from fusionkit.loop.misfits import is_hookimpl
from fusionkit.plugin import kebab
from fusionkit.recipe.problems import problems_of
from fusionkit.recipe.recipe import Recipe

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo
    from fusionkit.loop.stage import Stage


@dataclass(frozen=True, repr=False)
class RunPlan:
    """A run that has been checked and can start; printed, or in a notebook, it is a table of its stages.

    Args:
        recipe: The recipe, completed with the model's own defaults.
        info: What is known of the model, or of the main one.
        hooks: The run's plugins.
        stages: The stages, with their schedulers set.
        views: For each stage, how many views its steps predict altogether.
        passes: For each stage, how many views go through a denoiser, with and without the prompt counted apart.
        infos: What is known of all models, by the recipe's names, the main one first.
        notes: What can be run and will hardly make what is meant, a line each.
    """

    recipe: Recipe
    info: ModelInfo
    hooks: Manager
    stages: Sequence[Stage]
    views: Sequence[int]
    passes: Sequence[int]
    infos: Mapping[str, ModelInfo]
    notes: Sequence[str] = ()

    def __repr__(self) -> str:
        from fusionkit.runs.shown import plan_text

        return plan_text(self)

    def _repr_html_(self) -> str:
        from fusionkit.runs.shown import plan_html

        return plan_html(self)

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(len(stage.steps) for stage in self.stages)

    @property
    def largest_group(self) -> int:
        """The number of views in the largest group: no more than these are predicted together."""
        return max(tiling.largest for stage in self.stages for tiling in stage.tilings.values())

    @property
    def forward_passes(self) -> int:
        """How many views go through a denoiser, counted twice with guidance."""
        return sum(self.passes)


def completed(recipe: Recipe, info: ModelInfo) -> Recipe:
    """The recipe with the model's defaults, and its size, where the recipe is silent.

    Raises:
        ModelError: A default is none that a recipe can have.
        PluginError: A plugin that tells the size failed.
    """
    given = {kebab(name): getattr(recipe, name) for name in recipe.model_fields_set}
    if "size" not in given and any(is_hookimpl(type(plugin), "default_size") for plugin in recipe.plugins):
        given["size"] = tuple(Manager(recipe.plugins).ask("default_size", recipe=recipe, info=info))
    try:
        return type(recipe).model_validate({"size": info.window, **info.defaults, **given})
    except ValidationError as error:
        lines = problems_of(error, Recipe)
        raise ModelError("\n".join(f"defaults of model '{info.name}': {line}" for line in lines)) from None
