"""SyncDiffusion: each window takes a step towards looking like an anchor, by a gradient (arXiv 2306.05178)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from fusionkit import Field, Fused, Patches, Plugin, Stage, Step, hookimpl
from fusionkit.keeping import StageCache
from fusionkit.loop.told import by_model, passes_of
from fusionkit.recipe import Count, Number
from fusionkit_syncdiffusion.likeness import AUTO, network_of, problems, unlikeness

if TYPE_CHECKING:
    from torch import Tensor

KIND = "window"


class SyncDiffusion(Plugin):
    """Move each window's latents so that its picture comes closer to that of an anchor (arXiv 2306.05178, alg. 1).

    The pictures are the decoded estimates of the clean latents, the distance is that of a network, and the gradient
    goes through decoder and denoiser.
    """

    weight: Annotated[Number, Field(ge=0)] = Field(
        default=20.0,
        description="How far a window moves along the gradient in the first step; 0 is not at all.",
    )
    decay: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=0.95, description="What the weight is multiplied by from step to step."
    )
    frequency: Count = Field(default=1, description="From one step in which the windows move to the next.")
    threshold: Count | None = Field(
        default=None,
        description="Only among so many steps, the first ones; by default in all.",
    )
    anchor: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.5, description="Which window the others come closer to: 0 is the first one of all, 1 the last."
    )
    loss: str = Field(
        default=AUTO,
        description="How unlike two pictures look: `auto` is the network of the embedded world that the model is of; "
        "or a feature network by its name (`vista`, `tinyworld`), or a .safetensors file of LPIPS.",
    )

    _moves = StageCache(list["Tensor"], list)

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A network that is not there, and models that are not on the device as a whole."""
        found = problems(self.loss, stage.info.name) if self.asks_network else []
        if stage.recipe.offload != "none":
            found.append(
                f"a gradient needs denoiser and decoder in memory together; use offload: none in place of "
                f"{stage.recipe.offload}"
            )
        return [f"{self.plugin_name}: {problem}" for problem in found]

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Predict the windows of moved latents, and remember by how much they have moved."""
        if not self.acts(at) or not _syncs(patches):
            return (yield)
        latents, moves = patches.latents, self.moves(stage, at, patches)
        self._moves(stage).append(moves)
        patches.latents = latents + moves
        try:
            return (yield)
        finally:
            patches.latents = latents

    @hookimpl(wrapper=True)
    def forward_passes(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, int, int]:
        """Each window is predicted once more for its gradient, and the anchor for what the others are compared with."""
        passes = yield
        if not self.acts(at) or not _syncs(patches):
            return passes
        return passes + passes_of(stage, at, patches)

    @hookimpl(wrapper=True)
    def fuse(self, stage: Stage, groups: Sequence[Patches]) -> Generator[None, Fused, Fused]:
        """The canvas has moved by the mean of what its windows have."""
        fused = yield
        if not self._moves.get(stage):
            return fused
        import torch

        from fusionkit.loop.canvas import WeightedMean

        moves = iter(self._moves(stage))
        mean = WeightedMean(groups, fused.prediction)
        moved = mean([next(moves) if _syncs(each) else torch.zeros_like(each.prediction) for each in groups])
        self._moves.forget(stage)
        return replace(fused, moved=moved if fused.moved is None else fused.moved + moved)

    def acts(self, at: Step) -> bool:
        """Whether the windows move in a step."""
        early = self.threshold is None or at.index < self.threshold
        return self.weight > 0 and early and (at.index + 1) % self.frequency == 0

    def moves(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        """By how much each window moves, (P, C, h, w): w_t times the gradient downhill; 0 for the anchor."""
        import torch

        # The places of those that are predicted: what another plugin fills in is not there to be looked at.
        anchor = patches.asked[min(int(self.anchor * len(patches.asked)), len(patches.asked) - 1)]
        others = [number != anchor and number in patches.asked for number in range(len(patches.views))]
        target = self.picture(stage, at, patches.latents[anchor][None], _alone(stage, at, patches, anchor))

        def loss(number: int, latents: Tensor, prediction: Tensor) -> Tensor:
            # What was computed without gradients takes part in none.
            return self.unlikeness(stage, self.picture(stage, at, latents, prediction), target.clone())

        gradients = by_model(
            stage, patches.narrowed(others, by=self), lambda model, part: model.gradients(stage, at, part, loss)
        )
        return torch.nan_to_num(gradients, nan=0.0) * -(self.weight * self.decay**at.index)

    @staticmethod
    def picture(stage: Stage, at: Step, latents: Tensor, prediction: Tensor) -> Tensor:
        """The picture that a prediction tells of, (1, 3, h, w) in -1..1; clipped pixels have no gradient."""
        clean = stage.scheduler.clean(prediction, at.timestep, latents)
        return stage.model.pixels(clean).clamp(-1, 1)

    def unlikeness(self, stage: Stage, picture: Tensor, anchor: Tensor) -> Tensor:
        """How unlike two pictures (1, 3, h, w) in -1..1 look: one number."""
        return unlikeness(network_of(self.loss, stage.info.name), stage.device, picture, anchor).sum()

    @property
    def asks_network(self) -> bool:
        """Whether `loss` is asked; not where a subclass has a distance of its own."""
        return type(self).unlikeness is SyncDiffusion.unlikeness


def _syncs(patches: Patches) -> bool:
    """Whether a group has windows that could come closer to each other."""
    return patches.kind == KIND and len(patches.asked) > 1


def _alone(stage: Stage, at: Step, patches: Patches, number: int) -> Tensor:
    """What is predicted of one view of a group, (1, C, h, w)."""
    one = replace(patches.picked([number]), weights=None, noise=None, left_out=())
    return by_model(stage, one, lambda model, part: model.predict(stage, at, part))
