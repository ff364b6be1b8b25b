"""What a recipe is measured against: by name, found where packages offer it, or another recipe.

A package offers a baseline through the entry point group `fusionkit.baselines`: a name, and a subclass of `Baseline`.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import FusionError, RecipeError, did_you_mean
from fusionkit.foreign import guarded
from fusionkit.registry import Group

if TYPE_CHECKING:
    from fusionkit.bench.drawing import Drawing, Noted
    from fusionkit.bench.measure import Stopwatch
    from fusionkit.bench.passes import Passes
    from fusionkit.loop.model import ModelInfo
    from fusionkit.recipe.recipe import Recipe
    from fusionkit.runs.plan import RunPlan


@dataclass(frozen=True)
class Contestant:
    """Something that is timed in turn with the recipe, and has run once.

    Args:
        name: What the table calls it.
        run: Does all of it once, and may tell the stopwatch what it does.
        passes: The forward passes of one run, where it is known.
        size: (width, height) in pixels of its picture.
        difference: The largest difference of its clean latents from the recipe's, where it is to draw the same picture.
    """

    name: str
    run: Callable[[Stopwatch], Any]
    passes: Passes | None = None
    size: tuple[int, int] | None = None
    difference: float | None = None


class Baseline(ABC):
    """Something that a recipe can be measured against; made without arguments.

    Attributes:
        name: As the user asked for it.
    """

    name: str = "baseline"

    def problems(self, plan: RunPlan) -> list[str]:
        """Why the recipe can't be measured against this, asked before any weights load.

        One line each, as a sentence goes on that begins with the baseline: "draws with one model, and the recipe ...".

        Args:
            plan: The recipe's plan.
        """
        return []

    @abstractmethod
    def contestants(self, drawing: Drawing, noted: Noted) -> Sequence[Contestant]:
        """What is timed in turn with the recipe, each run once to warm up.

        Args:
            drawing: The recipe with its models, which may be used, and must be left as they are.
            noted: What the recipe's own first run left.

        Raises:
            FusionError: It turns out that they can't be compared.
        """


class AnotherRecipe(Baseline):
    """Another recipe, drawn from start to end; models that both use are loaded once.

    Args:
        name: What the table calls it.
        recipe: What to draw.
        infos: What is known of its models by their names, the main one first.
    """

    def __init__(self, name: str, recipe: Recipe, infos: Mapping[str, ModelInfo]) -> None:
        self.name, self.recipe, self.infos = name, recipe, infos

    def problems(self, plan: RunPlan) -> list[str]:
        """Another device than the recipe's."""
        mine, other = self.recipe.device, plan.recipe.device
        return [] if mine == other else [f"is for device '{mine}', and the recipe for '{other}'; use --device for both"]

    def contestants(self, drawing: Drawing, noted: Noted) -> list[Contestant]:
        """The other recipe."""
        from fusionkit.bench.drawing import Drawing
        from fusionkit.models.load import load_models
        from fusionkit.recipe.fields import ADAPTER, WEIGHTS

        same = all(getattr(self.recipe, name) == getattr(drawing.recipe, name) for name in (*WEIGHTS, *ADAPTER))
        other = Drawing(self.recipe, self.infos, drawing.models if same else load_models(self.recipe, self.infos))
        return [contestant_of(self.name, other)]


def contestant_of(name: str, drawing: Drawing) -> Contestant:
    """A drawing that has run once, as a contestant."""
    noted = drawing.note()
    return Contestant(name, drawing.draw, noted.passes, noted.plan.recipe.size)


BASELINES: Group[Baseline] = Group("fusionkit.baselines", "baseline", Baseline)  # type: ignore[type-abstract]


def load(name: str) -> Baseline:
    """The baseline of a name that is offered.

    Raises:
        PluginError: It can't be imported, or is no `Baseline`.
    """
    kind = BASELINES.load(name)
    with guarded(f"baseline '{name}' can't be made"):
        baseline = kind()
    baseline.name = name
    return baseline


def find(asked: str, options: Mapping[str, Any] | None = None) -> Baseline:
    """A baseline as the command line names it: `forward-passes`, a recipe, or a recipe with changes.

    Args:
        asked: A name, a recipe's file or name, or either with changes behind it: `panorama steps=20`.
        options: For a recipe: values of options that have a flag of their own, such as `device`.

    Raises:
        RecipeError: There is no such baseline and no such recipe, or the recipe has errors; all of them.
        PluginError: The baseline can't be imported.
    """
    from fusionkit.recipe.recipe_file import read_recipe
    from fusionkit.runs.checks import check_file

    if asked in BASELINES.entries:
        return load(asked)
    try:
        source, *sets = shlex.split(asked) or [""]
        check_source(source)
        file = read_recipe(source, sets, options)
        return AnotherRecipe(asked, file.recipes[0], check_file(file).infos)
    except (FusionError, ValueError) as error:
        raise RecipeError(f"--baseline {asked}: {line}" for line in str(error).splitlines()) from None


def check_source(source: str) -> None:
    """Whether a baseline's first word is a recipe.

    Raises:
        RecipeError: It is not.
    """
    from fusionkit.recipe.assemble import bundled_recipes

    if source in BASELINES.entries:
        raise RecipeError([f"'{source}' is no recipe: it takes what it needs from RECIPE and can't be changed"])
    if not Path(source).expanduser().exists() and source not in (recipes := bundled_recipes()):
        hint = did_you_mean(source, [*BASELINES.entries, *recipes])
        hint = hint or f"; there are {', '.join(BASELINES.entries)}, and any recipe"
        raise RecipeError([f"no baseline and no recipe '{source}'{hint}"])


def problems_of(baselines: Iterable[Baseline], plan: RunPlan) -> list[str]:
    """What all baselines say of a recipe's plan, each line beginning with whose it is."""
    problems = []
    for each in baselines:
        with guarded(f"baseline '{each.name}' failed in problems"):
            problems += [f"baseline '{each.name}' {line}" for line in each.problems(plan)]
    return problems
