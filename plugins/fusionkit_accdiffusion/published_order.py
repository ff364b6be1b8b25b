"""A recipe's own work in the order of AccDiffusion v2's code, as a baseline for `fusionkit bench`."""

from __future__ import annotations

from collections.abc import Generator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from fusionkit import Patches, Plugin, Stage, Step, hookimpl
from fusionkit.bench.baselines import Baseline, Contestant
from fusionkit.bench.drawing import Drawing, Noted

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.scheduler import Scheduler
    from fusionkit.runs.plan import RunPlan


class PublishedOrder(Baseline):
    """The recipe in the order in which AccDiffusion v2's code works, with all that it predicts and no other change.

    That code encodes the prompts anew at each step, sends one batch of views after the other through the model, and
    steps each batch with a scheduler of its own before it averages them (MultiDiffusion, arXiv 2302.08113, equation 5).
    This is an account of that order, and no copy of the code: the steps of the batches are taken and thrown away, since
    their mean is the step that the loop takes. What else the code does slower or quicker is not in it. Each distinct
    text is encoded once a step. Twice: with as many views in a pass as the recipe has, and with one.
    """

    def problems(self, plan: RunPlan) -> list[str]:
        """A recipe whose model's texts can't be forgotten, since they stay in memory in turns."""
        offload = plan.recipe.offload
        return [] if offload == "none" else [f"can't be used with offload '{offload}'"]

    def contestants(self, drawing: Drawing, noted: Noted) -> list[Contestant]:
        """The recipe's views a pass, and one view a pass."""
        return [self._contestant(drawing, noted, views) for views in dict.fromkeys((noted.passes.largest // 2 or 1, 1))]

    def _contestant(self, drawing: Drawing, noted: Noted, views: int) -> Contestant:
        recipe = drawing.recipe.model_copy(update={"batch_size": views})
        other = InOrder(recipe, drawing.infos, drawing.models)
        own = other.note()
        difference = float((own.latents - noted.latents).abs().max())
        name = f"{self.name}, {views} view{'s' if views > 1 else ''} a pass"
        return Contestant(name, lambda _: other.draw(), own.passes, recipe.size, difference)


class InOrder(Drawing):
    """A drawing whose steps are taken in that order."""

    def _plan(self, *observers: Plugin) -> RunPlan:
        return super()._plan(*observers, BatchByBatch(size=self.recipe.batch_size or 1, schedulers=Schedulers()))


class Schedulers:
    """A scheduler for each batch of views, with a history of its own."""

    def __init__(self) -> None:
        self._own: dict[tuple[Any, ...], Scheduler] = {}
        self._step: tuple[int, int] | None = None
        self._group = 0

    def begin(self, stage: Stage, at: Step) -> bool:
        """The next group of views; whether it is the first one of its step."""
        first = (stage.index, at.index) != self._step
        self._step, self._group = (stage.index, at.index), 0 if first else self._group + 1
        return first

    def step(self, stage: Stage, at: Step, prediction: Tensor, latents: Tensor, batch: int) -> None:
        """Step a batch of the group, and keep its scheduler as it then is."""
        # A group that has other views than before has no history.
        key = stage.index, self._group, batch, latents.shape
        own = self._own.get(key) or stage.scheduler.starting_at(at.index)
        own.step(prediction, at.timestep, latents, latents)
        self._own[key] = deepcopy(own)


class BatchByBatch(Plugin):
    """Has texts encoded at each step, and takes a step of the scheduler for each batch of views.

    Args:
        size: Views in a batch.
        schedulers: Those of the batches.
    """

    size: int
    schedulers: Schedulers

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Forget the texts before, and step each batch after."""
        if self.schedulers.begin(stage, at):
            for model in stage.models.values():
                getattr(model, "forget_prompts", lambda: None)()
        prediction = yield
        for first in range(0, len(prediction), self.size):
            part = slice(first, first + self.size)
            self.schedulers.step(stage, at, prediction[part], patches.latents[part], first)
        return prediction
