"""A run that has been checked and can start, and the recipe of one, completed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from fusionkit.errors import ModelError
from fusionkit.loop.manager import Manager
from fusionkit.loop.misfits import clash, is_hookimpl
from fusionkit.recipe.presets import filled
from fusionkit.recipe.problems import problems_of
from fusionkit.recipe.recipe import Recipe
from fusionkit.runs.room import NOTHING, Disk

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
        preset: The name of the recipe's preset; empty without one.
        by_preset: What that said, by keys as `--set` has them.
        disk: What it takes on the disk.
    """

    recipe: Recipe
    info: ModelInfo
    hooks: Manager
    stages: Sequence[Stage]
    views: Sequence[int]
    passes: Sequence[int]
    infos: Mapping[str, ModelInfo]
    notes: Sequence[str] = ()
    preset: str = ""
    by_preset: Mapping[str, Any] = field(default_factory=dict)
    disk: Disk = NOTHING

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
    """The recipe with its preset, the model's defaults, and its size, where the recipe is silent; without the preset.

    Raises:
        ModelError: A default is none that a recipe can have.
        PluginError: A plugin that tells the size failed.
        RecipeError: The preset says what no recipe can have.
    """
    return completed_by(recipe, info)[0]


def completed_by(recipe: Recipe, info: ModelInfo) -> tuple[Recipe, Mapping[str, Any]]:
    """The same, and what the preset said, by keys as `--set` has them."""
    given, told = filled(recipe, info, clash)
    plugins = given.get("plugins", ())
    if "size" not in given and any(is_hookimpl(type(plugin), "default_size") for plugin in plugins):
        given["size"] = tuple(Manager(plugins).ask("default_size", recipe=recipe, info=info))
    try:
        return type(recipe).model_validate({"size": info.window, **info.defaults, **given}), told
    except ValidationError as error:
        lines = problems_of(error, Recipe)
        whose = f"defaults of model '{info.name}'"
        if told and recipe.preset is not None:
            whose = f"preset '{recipe.preset.name}', or {whose}"
        raise ModelError("\n".join(f"{whose}: {line}" for line in lines)) from None
