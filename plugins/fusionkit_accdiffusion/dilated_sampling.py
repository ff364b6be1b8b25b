"""Dilated sampling, alone or with window interaction: what the whole canvas has in common (arXiv 2407.10738)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from fusionkit import Patches, Plugin, Stage, Step, hookimpl
from fusionkit.loop.ring import continued
from fusionkit.loop.views import Wrap, wrapped
from fusionkit.recipe import Number, limits
from fusionkit.recipe.costs import too_many_views
from fusionkit_accdiffusion.cosine import cosine
from fusionkit_accdiffusion.samples import dilated_views, exchanged, start_of

if TYPE_CHECKING:
    from torch import Tensor

KIND = "dilated"
Exponent = Annotated[Number, Field(gt=0)]


class DilatedSampling(Plugin):
    """Predict the canvas also as s^2 coarse pictures of it, each made of every s-th latent pixel (arXiv 2311.16973).

    The prediction is (1 - c2) of the windows' and c2 of the dilated samples', c2 = cosine^weight-exponent: structure
    first, detail last. s is how often the model's window fits into the longer side, rounded up.
    """

    window_interaction: bool = Field(
        default=True,
        description="Whether the samples exchange latent pixels while they are predicted, at random at each place and "
        "channel, and get them back afterwards (arXiv 2407.10738, eq. 10): smoother than samples that know nothing of "
        "each other (DemoFusion).",
    )
    gaussian_filter: bool = Field(
        default=True,
        description="Whether the samples are taken from a smoothed canvas, so that noise does not pass for detail.",
    )
    sigma: Annotated[Number, Field(gt=0)] = Field(
        default=0.8,
        description="Standard deviation of that filter at the first step, in latent pixels; it falls by cosine.",
    )
    sigma_exponent: Exponent = Field(default=1.0, description="Exponent of the cosine by which the filter narrows.")
    weight_exponent: Exponent = Field(
        default=1.0, description="Exponent of the cosine by which the samples lose their weight."
    )
    skip_below: Annotated[Number, Field(ge=0, lt=0.5)] = Field(
        default=0.0,
        description="Leave out the samples, or the windows, in steps where they would weigh less than this: saves "
        "forward passes; 0 is exact.",
    )

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A canvas that is so much larger than the window that there would be too many samples."""
        views = times_larger(stage) ** 2
        width, height = stage.plan.size
        return (
            [f"{self.plugin_name}: {too_many_views(f'size {width}x{height}', views)}"] if views > limits.VIEWS else []
        )

    @hookimpl
    def keeps_composition(self, stage: Stage) -> bool:
        """Samples of the whole say what is where, unless each is a picture of its own."""
        return times_larger(stage) > 1 and (self.window_interaction or stage.has_previous)

    @hookimpl(wrapper=True)
    def views(self, stage: Stage, at: Step) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        """Add the dilated samples, and share the prediction between them and the windows."""
        groups = yield
        dilation = times_larger(stage)
        if dilation < 2:
            return groups
        c2 = cosine(stage, at, self.weight_exponent)
        if c2 <= self.skip_below:
            return groups
        dilated = Patches(dilated_views(stage.canvas, dilation, start_of(stage, at)), KIND, share=c2)
        if 1 - c2 <= self.skip_below:
            return [dilated]
        return [*(replace(patches, share=patches.share * (1 - c2)) for patches in groups), dilated]

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Predict the samples of the smoothed canvas, their pixels exchanged; of other groups, nothing changes."""
        if patches.kind != KIND:
            return (yield)
        samples = patches.latents
        given = self._smoothed(stage, at, samples) if self.gaussian_filter else samples
        order = self.permutation(stage, at, samples.shape) if self.window_interaction else None
        return (yield from exchanged(patches, given, order))

    def permutation(self, stage: Stage, at: Step, shape: Sequence[int]) -> Tensor:
        """For each channel and place, which sample (0..s^2 - 1) each sample gets its pixel from; (s^2, C, h, w)."""
        return stage.noise("window interaction", shape, at).argsort(0)

    def _smoothed(self, stage: Stage, at: Step, samples: Tensor) -> Tensor:
        """The samples of the filtered canvas, with the mean and the standard deviation of the unfiltered one."""
        import torch

        from fusionkit.loop.canvas import gather, scatter

        dilation = times_larger(stage)
        views = wrapped(dilated_views(stage.canvas, dilation, start_of(stage, at)), stage.canvas, stage.wrap)
        canvas = scatter(samples, views, samples.new_zeros(1, samples.shape[1], *stage.canvas))
        # Where a side is no multiple, zeros lie above or left of the canvas: they count for neither of the two. On a
        # ring the canvas goes on there, and some of its pixels are in two samples.
        if stage.wrap:
            canvas = canvas / scatter(torch.ones_like(samples[:, :1]), views, torch.zeros_like(canvas[:, :1]))
        sigma = self.sigma * (0.99 * cosine(stage, at, self.sigma_exponent) + 0.01)
        smooth = gaussian_filter(canvas, 2 * dilation - 1, sigma, stage.wrap)
        smooth = (smooth - smooth.mean()) / smooth.std() * canvas.std() + canvas.mean()
        return gather(smooth, views)


def times_larger(stage: Stage) -> int:
    """How often the model's window fits into the longer side of the canvas, rounded up."""
    return max(-(-length // window) for length, window in zip(stage.canvas, stage.window, strict=True))


def gaussian_filter(canvas: Tensor, size: int, sigma: float, wrap: Wrap = "") -> Tensor:
    """A canvas (N, C, H, W) smoothed by a Gaussian of `size` x `size` latent pixels, zeros beyond the border.

    Along the axes `wrap` there is no border.
    """
    import torch
    from torch.nn.functional import conv2d

    channels = canvas.shape[1]
    line = torch.exp(-0.5 * ((torch.arange(size, dtype=torch.float64) - size // 2) / sigma) ** 2)
    line = (line / line.sum()).to(canvas).expand(channels, 1, 1, size)
    reach = size // 2
    across = conv2d(continued(canvas, wrap, reach), line, padding=(0, reach), groups=channels)
    smooth = conv2d(across, line.transpose(2, 3), padding=(reach, 0), groups=channels)
    above, before = (reach if axis in wrap else 0 for axis in "yx")
    return smooth[..., above : smooth.shape[-2] - above, before : smooth.shape[-1] - before]
