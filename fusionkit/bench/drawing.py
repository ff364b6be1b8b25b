"""A recipe with its models loaded, that can be drawn again and again, and taken apart while it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fusionkit.bench.measure import Stopwatch
from fusionkit.bench.parts import Watch, taken_apart
from fusionkit.bench.passes import Passes
from fusionkit.loop.hookspecs import hookimpl
from fusionkit.plugin import Plugin
from fusionkit.runs.run import decoded, execute, prepare

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fusionkit.loop.model import Model, ModelInfo
    from fusionkit.recipe.recipe import Recipe
    from fusionkit.runs.plan import RunPlan


@dataclass(frozen=True)
class Noted:
    """What a drawing's first run, which nobody times, leaves behind.

    Args:
        plan: The run's plan.
        passes: Its forward passes.
        start: What the last stage's steps began with, (1, C, H, W).
        latents: What they ended with, (1, C, H, W).
    """

    plan: RunPlan
    passes: Passes = field(repr=False)
    start: Tensor = field(repr=False)
    latents: Tensor = field(repr=False)


class Drawing:
    """A recipe with its models.

    Args:
        recipe: What to draw.
        infos: What is known of its models by their names, the main one first.
        models: The models by the same names, loaded.
    """

    def __init__(self, recipe: Recipe, infos: Mapping[str, ModelInfo], models: Mapping[str, Model]) -> None:
        self.recipe, self.infos, self.models = recipe, infos, models

    @property
    def model(self) -> Model:
        """The model, or the main one."""
        return next(iter(self.models.values()))

    @property
    def device(self) -> torch.device:
        """Where it is drawn."""
        return self.model.device

    def draw(self, clock: Stopwatch | None = None) -> None:
        """Make the picture once, as `Fusion.run` does, from the recipe's check to the decoded picture.

        Args:
            clock: Takes the run apart; None leaves it as it is.
        """
        self._forget_prompts()
        plan = self._plan(*([] if clock is None else [Watch(clock=clock)]))
        with ExitStack() as stack:
            if clock is not None:
                stack.enter_context(taken_apart(plan, self.models, clock))
            decoded(plan, self.model, execute(plan, self.model, self.models))

    def note(self) -> Noted:
        """Make the picture once, and keep what others need to do the same."""
        self._forget_prompts()
        passes, begun = Passes(), list[Any]()
        plan = self._plan(Start(keep=begun.append))
        with passes.noted(self.models):
            latents = execute(plan, self.model, self.models)
        decoded(plan, self.model, latents)
        return Noted(plan, passes, begun[-1], latents)

    def _forget_prompts(self) -> None:
        # A run encodes its own texts, as the first one after loading does; an adapter of another make may keep none.
        for model in self.models.values():
            getattr(model, "forget_prompts", lambda: None)()

    def _plan(self, *observers: Plugin) -> RunPlan:
        return prepare(self.recipe, self.model.info, observers, self.device, infos=self.infos)


class Start(Plugin):
    """Hands on what each stage begins with."""

    keep: Callable[..., None]

    @hookimpl(wrapper=True)
    def init_latents(self) -> Generator[None, Tensor, Tensor]:
        """Hand on the answer."""
        latents = yield
        self.keep(latents)
        return latents
