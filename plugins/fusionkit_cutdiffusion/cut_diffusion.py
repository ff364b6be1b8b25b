"""CutDiffusion: the first steps see the canvas as interleaved pictures of the whole, the others in windows."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Annotated

from fusionkit import Field, Patches, Plugin, Stage, Step, hookimpl
from fusionkit.recipe import Number, limits
from fusionkit.recipe.costs import too_many_views
from fusionkit_accdiffusion.samples import dilated_views, exchanged, start_of

if TYPE_CHECKING:
    from torch import Tensor

KIND = "interleaved"
Share = Annotated[Number, Field(ge=0, le=1)]


class CutDiffusion(Plugin):
    """Draw the canvas at first as pictures of the whole that exchange pixels, then in windows (arXiv 2404.15141).

    The pictures are interleaved: each has every r-th row and every s-th column, so that it fits into the model's
    window, and each pixel of the canvas is in one of them. The paper draws them apart and puts them
    together when the windows begin; as views of one canvas they are together from the first step on.
    """

    until: Share = Field(
        default=0.5,
        description="In which share of the steps, the first ones, the canvas is interleaved pictures; 0 is none.",
    )
    shuffle: bool = Field(
        default=True,
        description="Whether the pictures exchange latent pixels while they are predicted, at random at each place and "
        "channel, and get them back afterwards: so that they become one picture.",
    )

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A canvas that is so much larger than the window that there would be too many pictures."""
        (down, across), (width, height) = times_larger(stage), stage.plan.size
        problem = too_many_views(f"size {width}x{height}", down * across)
        return [f"{self.plugin_name}: {problem}"] if down * across > limits.VIEWS else []

    @hookimpl
    def keeps_composition(self, stage: Stage) -> bool:
        """Pictures of the whole say what is where, if they become one."""
        return self.shuffle and round(self.until * stage.sampling_steps) > 0

    @hookimpl(wrapper=True)
    def views(self, stage: Stage, at: Step) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        """Pictures of the whole in place of windows while it is time."""
        groups = yield
        apart = times_larger(stage)
        if apart == (1, 1) or at.index >= round(self.until * at.total):
            return groups
        return [Patches(dilated_views(stage.canvas, apart, start_of(stage, at)), KIND)]

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Predict the pictures with their pixels exchanged; of other groups, nothing changes."""
        if patches.kind != KIND:
            return (yield)
        latents = patches.latents
        given = latents if stage.wrap else inward(latents, stage.canvas, times_larger(stage))
        order = self.permutation(stage, at, latents.shape) if self.shuffle else None
        return (yield from exchanged(patches, given, order))

    def permutation(self, stage: Stage, at: Step, shape: Sequence[int]) -> Tensor:
        """For each channel and place, which picture (0..P - 1) each picture gets its pixel from; (P, C, h, w)."""
        return stage.noise("cut diffusion", shape, at).argsort(0)


def times_larger(stage: Stage) -> tuple[int, int]:
    """How often the model's window fits into the canvas, rounded up, (down, across)."""
    down, across = (-(-length // window) for length, window in zip(stage.canvas, stage.window, strict=True))
    return down, across


def inward(latents: Tensor, canvas: tuple[int, int], apart: tuple[int, int]) -> Tensor:
    """Views as `dilated_views` makes them, with the canvas' first row and column in place of what lies before it.

    Where a side is no multiple, the first views begin there. Zeros are no noise, and a picture would have an edge of
    them. What is predicted there counts for nothing.

    Args:
        latents: (P, C, h, w).
        canvas: (H, W) in latent pixels.
        apart: How many of them lie from one sample to the next, (down, across).
    """
    missing = [-length % step for length, step in zip(canvas, apart, strict=True)]
    if missing == [0, 0]:
        return latents
    rows, columns = missing
    grid = latents.reshape(*apart, *latents.shape[1:]).clone()
    grid[:rows, ..., 0, :] = grid[rows, ..., 0, :]
    grid[:, :columns, ..., 0] = grid[:, columns, None, ..., 0]
    return grid.reshape(latents.shape)
