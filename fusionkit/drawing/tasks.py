"""What workers are asked for whole pictures with: to be ready for them, and to draw one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import process_time
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.bench.measure import peak_memory
from fusionkit.distributed.values import Answer
from fusionkit.distributed.worker import LOADING
from fusionkit.drawing.drawn import Drawn, pinned, run_of, told_of
from fusionkit.fusion import Fusion
from fusionkit.models.memory import views_per_pass
from fusionkit.recipe.fields import weights_of
from fusionkit.runs.shortage import in_tiles_if_need_be

if TYPE_CHECKING:
    from fusionkit.distributed.worker import Worker
    from fusionkit.recipe.recipe import Recipe

Batches = Mapping[str, Mapping[tuple[int, int], int]]
"""Views in one forward pass, for models by name, and the views' (height, width) in latent pixels."""


@dataclass(frozen=True)
class Ready:
    """Load the models of recipes, and say what would be chosen there that decides bits of pictures.

    Args:
        recipes: Of one set of weights, one for each tiling that there is.
    """

    recipes: Sequence[Recipe]

    def __call__(self, worker: Worker) -> Answer:
        """Load them; the answer is the type of numbers of each model, and `Batches`, empty on a CPU."""
        import torch

        fusion = brush_of(worker, self.recipes[0]).fusion
        models: Mapping[str, Any] = fusion.models_for(_there(self.recipes[0], worker))
        device = next(iter(models.values())).device
        types = {name: str(each.dtype) for name, each in models.items()}
        if device.type != "cuda":
            return Answer((types, {}))
        free = torch.cuda.mem_get_info(device)[0]
        found: dict[str, dict[tuple[int, int], int]] = {name: {} for name in models}
        for recipe in self.recipes:
            for size in view_sizes(fusion, _there(recipe, worker)):
                for name, each in models.items():
                    found[name][size] = views_per_pass(each.info, size, each.dtype.itemsize, free)
        return Answer((types, found))


@dataclass(frozen=True)
class Draw:
    """One whole picture.

    Args:
        recipe: Its recipe.
        title: What it is called in messages.
        where: What its errors begin with; empty for nothing.
        batches: What all workers have agreed upon, where the recipe does not say.
        batch_size: Views in one forward pass where the recipe does not say; None is as `batches` say.
        maps: Whether the plugins' pictures of how they worked are wanted, too.
    """

    noun: ClassVar[str] = "picture"
    verb: ClassVar[str] = "drawn"

    recipe: Recipe
    title: str
    where: str = ""
    batches: Batches = field(default_factory=dict)
    batch_size: int | None = None
    maps: bool = False

    def with_batches(self, batches: Batches) -> Draw:
        """The same as all workers have agreed to draw it; what was said of it before stays."""
        return self if self.batches else replace(self, batches=batches)

    def __call__(self, worker: Worker) -> Answer:
        """Draw it; the answer is a `Drawn`."""
        brush = brush_of(worker, self.recipe)
        fusion, recipe = brush.fusion, _there(self.recipe, worker)
        fusion.batch_size, fusion.batches = self.batch_size, self.batches
        device = next(iter(fusion.models_for(recipe).values())).device
        with told_of(self.where), peak_memory(device) as memory:
            began = process_time()
            result = in_tiles_if_need_be(lambda: fusion.run(recipe, progress=False, maps=self.maps))
            in_processors = process_time() - began
        told = {**run_of(result, in_processors, memory.peak, brush.drawn > 0, device), "worker": worker.name}
        brush.drawn += 1
        # Which device of the workers' has drawn it is no property of the picture.
        return Answer(Drawn.of(result, self.recipe.device, told), result.forward_passes)


def agreed(answers: Sequence[tuple[Mapping[str, str], Batches]]) -> Batches:
    """What all workers are to do alike: no more views together than the smallest of them takes.

    Args:
        answers: What they answered to `Ready`.

    Raises:
        RecipeError: They would compute in different types of numbers.
    """
    return pinned([types for types, _ in answers], [batches for _, batches in answers])


@dataclass
class Brush:
    """A worker's models for recipes of one set of weights, loaded.

    Args:
        fusion: The models.
        drawn: How many pictures they have drawn.
    """

    fusion: Fusion
    drawn: int = 0


def brush_of(worker: Worker, recipe: Recipe) -> Brush:
    """What a worker draws a recipe with; models of other weights are let go, since two sets may not fit."""

    def make() -> Brush:
        import torch

        with LOADING, torch.inference_mode(False):
            fusion = Fusion.from_recipe(_there(recipe, worker))
            fusion.models_for(fusion.recipe)
        return Brush(fusion)

    return worker.keep("brush", weights_of(recipe), make, most=1)


def view_sizes(fusion: Fusion, recipe: Recipe) -> set[tuple[int, int]]:
    """(height, width) in latent pixels of all views that a recipe has."""
    plan = fusion.plan(recipe)
    return {
        group.size
        for stage in plan.stages
        for at in (stage.steps[0], stage.steps[-1])
        for group in plan.hooks.ask("views", stage=stage, at=at)
    }


def _there(recipe: Recipe, worker: Worker) -> Recipe:
    """The recipe on a worker's device."""
    return recipe if worker.device == recipe.device else recipe.model_copy(update={"device": worker.device})
