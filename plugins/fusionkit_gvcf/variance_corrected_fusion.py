"""Variance-Corrected Fusion: noise of the views, fused so that its variance stays 1 (arXiv 2412.12771)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

from fusionkit import Fused, Patches, Plugin, Stage, Step, hookimpl


class VarianceCorrectedFusion(Plugin):
    """Draw noise for each view and fuse it with unit variance (arXiv 2412.12771, eq. 13 and 14).

    The weighted mean of N draws has less variance than one draw, and the picture blurs. With e_i the weight of view i
    at a pixel after all normalisation, sum_i e_i z_i / sqrt(sum_i e_i^2) is N(0, 1) again, whatever the weights are.
    """

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A deterministic scheduler draws no noise that could be corrected; one that draws all anew solves no SDE."""
        from fusionkit.models.schedulers.by_name import stochastic_names

        scheduler, such_as = stage.scheduler, stochastic_names(stage.info)
        if not scheduler.stochastic:
            return [
                f"{self.plugin_name}: {scheduler.name} draws no noise, so there is no variance to correct; "
                f"use a scheduler that does, such as {such_as}, or leave the plugin out"
            ]
        if scheduler.resamples:
            return [
                f"{self.plugin_name}: {scheduler.name} throws all noise away at each step and draws it anew, which "
                f"solves no SDE whose variance could be corrected; use {such_as}, or leave the plugin out"
            ]
        return []

    @hookimpl(wrapper=True)
    def fuse(self, stage: Stage, at: Step, groups: Sequence[Patches]) -> Generator[None, Fused, Fused]:
        """Replace the step's noise by the views' noise, fused."""
        from fusionkit.loop.canvas import WeightedMean, view_noise

        fused = yield
        mean = WeightedMean(groups, fused.prediction)
        return replace(fused, noise=mean(view_noise(stage, at, groups)) / mean.norm())
