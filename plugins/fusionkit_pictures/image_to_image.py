"""Image to image: begin with a picture, noised, in the middle of the schedule (SDEdit, arXiv 2108.01073)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from fusionkit import Field, NetworkPath, PicturePath, Plugin, Stage, StagePlan, hookimpl, network_problems
from fusionkit.pictures.exif import exif_of
from fusionkit.recipe import Number
from fusionkit_pictures.beginnings import beginning_problems, begun, own_size

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo


class ImageToImage(Plugin):
    """Begin with a picture, noised, and take only the last of the steps (SDEdit, arXiv 2108.01073, algorithm 1).

    With x_0 the picture's latents and t the first of the last `strength` of the timesteps, the canvas begins as
    x_t = a_t x_0 + s_t eps, whatever its size is. Where the recipe has no size, it is the picture's.
    """

    from_: PicturePath = Field(description="The picture to begin with.")
    strength: Number = Field(
        default=0.6,
        gt=0,
        le=1,
        description="The share of the steps that are taken: a small one keeps the picture, 1 keeps nothing of it.",
    )
    network: NetworkPath | None = Field(
        default=None,
        description="A super-resolution network, a .safetensors file, by which the picture is enlarged to the canvas; "
        "by default Lanczos does it.",
    )
    keep_exif: bool = Field(
        default=False,
        description="Whether camera, date and place, as the picture's EXIF tells them, go into the new picture's file.",
    )

    @hookimpl
    def default_size(self, info: ModelInfo) -> tuple[int, int]:
        """The picture's, as whole tokens of the model."""
        return own_size(self.from_, info)

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A picture that can't be used, or another one that the run begins with."""
        if stage.index > 0:
            return []
        return [f"{self.plugin_name}: {problem}" for problem in self._problems(stage)]

    def _problems(self, stage: Stage) -> Iterator[str]:
        yield from (problems := list(beginning_problems(stage, self.from_)))
        if self.network is not None:
            yield from network_problems(self.network, stage, None if problems else self.from_)

    @hookimpl(wrapper=True)
    def plan_stages(self) -> Generator[None, list[StagePlan], list[StagePlan]]:
        """The first stage begins with the picture."""
        plans = yield
        return plans if self.strength == 1 else begun(plans, self.from_, self.strength, self.network)

    @hookimpl(wrapper=True)
    def exif(self) -> Generator[None, bytes, bytes]:
        """The picture's, if wanted."""
        others = yield
        return exif_of(self.from_) or others if self.keep_exif else others
