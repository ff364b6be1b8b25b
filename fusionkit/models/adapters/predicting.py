"""The face of a model's predictions, whoever computes the batches: which views, how strongly guided, which halves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from fusionkit.loop.finite import note_finite
from fusionkit.loop.partly import chosen, spread
from fusionkit.loop.told import scales_of
from fusionkit.models.adapters.batches import Halves, together

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo
    from fusionkit.loop.stage import Patches, Stage, Step


class Predicting(ABC):
    """What is predicted of a group's views; a subclass puts them in batches.

    Attributes:
        info: What the model's configuration tells.
    """

    info: ModelInfo

    def predict(
        self,
        stage: Stage,
        at: Step,
        patches: Patches,
        guidance_scale: float | None = None,
        guidance_interval: tuple[float, float] | None = None,
    ) -> Tensor:
        """The guided output for each view, (P, C, h, w), float32: uncond + guidance_scale (cond - uncond).

        As in diffusers, a guidance scale of at most 1, which it is outside of the interval, or a model that takes the
        scale as an input, runs the conditional half alone. Where a family guides in a way of its own, the output is
        guided so. Like `predict_pair`, it answers in the parameterisation of the stage's main model, and NaN for views
        that are left out.

        Args:
            stage: The stage.
            at: The step.
            patches: The views, with latents and prompts.
            guidance_scale: For all views; None is what each is told, or the recipe's.
            guidance_interval: Where guidance begins and ends, in shares of the stage's steps; None is the recipe's.
        """
        if not (group := chosen(patches)).views:
            return spread(patches, group.latents)
        scales = scales_of(stage, at, group, guidance_scale, guidance_interval)
        both = [self.info.passes(scale) > 1 for scale in scales]
        found = self._run(stage, at, group, scales, Halves(both, guided=True), patches.asked)
        guided = stage.room.joined((each for (each,) in found), len(group.views))
        if any(both):
            note_finite(stage, guided, f"the guidance at scale {max(scales):g}", "use a smaller guidance-scale")
        return spread(patches, guided)

    def predict_pair(
        self, stage: Stage, at: Step, patches: Patches, guidance_scale: float | Sequence[float] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Two outputs for each view, each (P, C, h, w), float32: with the prompt, and without.

        They are such that `uncond + scale (cond - uncond)` is the model's own guided output at the scale, whatever its
        way of guiding is: of a plain model, the two unguided halves. Views that are left out are NaN.

        Args:
            stage: The stage.
            at: The step.
            patches: The views, with latents and prompts.
            guidance_scale: One for all views, or one for each of the P; None is what each is told, or the recipe's,
                whatever its interval says.
        """
        if not (group := chosen(patches)).views:
            return spread(patches, group.latents), spread(patches, group.latents)
        if isinstance(guidance_scale, Sequence):
            scales = [guidance_scale[number] for number in patches.asked]
        else:
            scales = scales_of(stage, at, group, guidance_scale, (0.0, 1.0))
        halves = Halves([True] * len(scales))
        cond, uncond = together(list(self._run(stage, at, group, scales, halves, patches.asked)))
        return spread(patches, cond), spread(patches, uncond)

    def predict_with(self, stage: Stage, at: Step, patches: Patches, guidance_scale: float | None = None) -> Tensor:
        """The first of `predict_pair`'s outputs alone, (P, C, h, w), at one pass a view where the family allows it."""
        return self._half(stage, at, patches, guidance_scale, 0)

    def predict_without(self, stage: Stage, at: Step, patches: Patches, guidance_scale: float | None = None) -> Tensor:
        """The second of `predict_pair`'s outputs alone, (P, C, h, w), at one pass a view where the family allows it."""
        return self._half(stage, at, patches, guidance_scale, 1)

    def _half(self, stage: Stage, at: Step, patches: Patches, scale: float | None, half: int) -> Tensor:
        if not (group := chosen(patches)).views:
            return spread(patches, group.latents)
        scales = scales_of(stage, at, group, scale)
        halves = Halves([True] * len(scales), only=half)
        found = self._run(stage, at, group, scales, halves, patches.asked)
        return spread(patches, stage.room.joined((each for (each,) in found), len(group.views)))

    @abstractmethod
    def _run(
        self,
        stage: Stage,
        at: Step,
        patches: Patches,
        scales: Sequence[float],
        halves: Halves,
        numbers: Sequence[int],
    ) -> Iterable[tuple[Tensor, ...]]:
        """Batch by batch, in the views' order, the outputs, each (p, C, h, w), float32, without gradients.

        A batch may be predicted when it is asked for, so that not all outputs are in memory at once.

        As `predict_pair` answers them, in the main model's parameterisation: the conditional output, and the
        unconditional one where a view has both; or the guided one alone, or one half, as `halves` asks.

        Args:
            stage: The stage.
            at: The step.
            patches: The views, all of which are predicted.
            scales: A guidance scale for each.
            halves: Which outputs.
            numbers: The views' numbers in the group that was asked for.
        """
