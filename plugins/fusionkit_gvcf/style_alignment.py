"""Style Alignment: patches that start alike end in one style (arXiv 2412.12771)."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated

from fusionkit import Field, Plugin, Stage, hookimpl
from fusionkit.recipe import Number
from fusionkit_gvcf.reference import Reference, ReferenceOption

if TYPE_CHECKING:
    from torch import Tensor

# Where vectors are closer to parallel than this, a slerp divides by almost nothing and a lerp is as good.
PARALLEL = 0.9995


def slerp(start: Tensor, end: Tensor, alpha: float) -> Tensor:
    """Spherical interpolation from `start` (alpha 0) to `end` (alpha 1), both as one vector of any shape.

    Of two independent N(0, 1) draws it is N(0, 1) again, which a lerp is not. (Almost) parallel, opposite or zero
    vectors span no arc of their own and are interpolated linearly.
    """
    import torch

    a, b = start.double(), end.double()
    length = a.norm() * b.norm()
    cosine = (a * b).sum() / length if length > 0 else torch.ones_like(length)
    if cosine.abs() > PARALLEL:
        return torch.lerp(start, end, alpha)
    angle = torch.arccos(cosine)
    mixed = (torch.sin((1 - alpha) * angle) * a + torch.sin(alpha * angle) * b) / torch.sin(angle)
    return mixed.to(start)


def align(noise: Tensor, reference: Tensor, alpha: float) -> Tensor:
    """Each patch of noise (1, C, H, W) moved towards the reference (1, C, h, w) by slerp.

    The patches are those of a grid of h x w from the top left; the last ones of a row or column are cut at the canvas'
    edge and move towards the reference cut alike.
    """
    aligned = noise.clone()
    height, width = reference.shape[-2:]
    for top in range(0, noise.shape[-2], height):
        for left in range(0, noise.shape[-1], width):
            patch = noise[..., top : top + height, left : left + width]
            rows, columns = patch.shape[-2:]
            aligned[..., top : top + height, left : left + width] = slerp(patch, reference[..., :rows, :columns], alpha)
    return aligned


class StyleAlignment(Plugin):
    """Move every patch of the starting noise towards one reference, in one shot (arXiv 2412.12771, eq. 15)."""

    alpha: Number = Field(
        default=0.4, ge=0, le=1, description="How far: 0 leaves the noise as it is, 1 repeats the reference everywhere."
    )
    reference: Annotated[Reference, ReferenceOption] = Field(
        default=Reference(),
        description="What the patches move towards: 'random' noise, {patch: [x, y]} of the canvas' own noise (its top "
        "left in pixels), {image: FILE}, encoded and noised to the first timestep, or {noise: FILE} (.safetensors).",
    )

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A patch that does not lie on the canvas, or a file that is missing or no picture or noise."""
        return [f"{self.plugin_name}: {problem}" for problem in self.reference.problems(stage)]

    @hookimpl(wrapper=True)
    def init_noise(self, stage: Stage) -> Generator[None, Tensor, Tensor]:
        """Align the noise of the canvas with the reference."""
        noise = yield
        return align(noise, self.reference.noise_of(stage, noise), self.alpha)
