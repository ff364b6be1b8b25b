"""Baselines that any recipe has: its forward passes alone, its model's plain picture, itself without a stopwatch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusionkit.bench.baselines import Baseline, Contestant, contestant_of

if TYPE_CHECKING:
    from fusionkit.bench.drawing import Drawing, Noted


class ForwardPasses(Baseline):
    """The recipe's own forward passes, those of ControlNets included, and nothing else."""

    def contestants(self, drawing: Drawing, noted: Noted) -> list[Contestant]:
        """The passes that the first run noted, again."""
        # They have run once: when they were noted.
        return [Contestant(self.name, lambda _: noted.passes.repeat(), noted.passes, noted.plan.recipe.size)]


class Single(Baseline):
    """The main model's picture of one window: the recipe without its plugins, at the window's size."""

    def contestants(self, drawing: Drawing, noted: Noted) -> list[Contestant]:
        """The one picture."""
        from fusionkit.bench.drawing import Drawing
        from fusionkit.recipe.made import changed

        recipe = noted.plan.recipe
        window = recipe.window or noted.plan.info.window
        # The models are loaded: which one is drawn is said by what is handed over, and no longer by the recipe.
        plain = changed(recipe, {"plugins": [], "size": window, "models": {}, "loras": []})
        return [contestant_of(self.name, Drawing(plain, {"model": noted.plan.info}, {"model": drawing.model}))]


class Unmeasured(Baseline):
    """The recipe itself without a stopwatch: what it costs to take its time apart."""

    def contestants(self, drawing: Drawing, noted: Noted) -> list[Contestant]:
        """The recipe, drawn and not watched."""
        return [Contestant(self.name, lambda _: drawing.draw(), noted.passes, noted.plan.recipe.size)]
