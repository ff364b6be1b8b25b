"""ControlNet: a hint of the whole canvas, of which each window sees its own part (arXiv 2412.02099)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from fusionkit import Field, Patches, Plugin, Stage, StageCache, Step, hookimpl
from fusionkit.errors import ModelError
from fusionkit.loop.stage import Control
from fusionkit.loop.views import Wrap
from fusionkit.models.controlnet import inspect_controlnet
from fusionkit.pictures.picture import found, open_picture, picture_problems
from fusionkit.recipe.span import End, Start, span_problems, within
from fusionkit.recipe.values import Number, Source
from fusionkit_accdiffusion.annotators import ANNOTATORS, annotate, annotator_problems, unknown_annotator

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

PREVIOUS = "previous"
# Pixels of the other edge of a ring that an annotator sees.
_BEYOND = 64


def known_annotator(name: str) -> str:
    """An annotator's name, as it was given.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in ANNOTATORS:
        raise ValueError(unknown_annotator(name))
    return name


def path_as_text(value: Any) -> Any:
    """A path from Python, as a recipe writes it."""
    return str(value) if isinstance(value, PurePath) else value


def beside_the_recipe(source: str) -> str:
    """Where a picture is: from the working folder, or else beside the recipe, as for other plugins."""
    return source if source == PREVIOUS else str(found(Path(source)))


PathText = Annotated[Source, BeforeValidator(path_as_text)]


class ControlNet(Plugin, name="controlnet"):
    """Steer the windows by a ControlNet, each by its own part of the hint (arXiv 2412.02099).

    A stage's hint is what an annotator sees in the picture of the stage before, enlarged bicubically to the canvas.
    Groups of another kind than "window" are left alone.
    """

    model: PathText = Field(
        description="The ControlNet: an embedded one such as tinyworld/canny, a folder in diffusers' layout, or a hub "
        "id; made for the recipe's family of models."
    )
    annotator: Annotated[str, AfterValidator(known_annotator)] = Field(
        default="canny",
        description="What turns a picture into a hint; 'none' where the picture is the hint.",
        json_schema_extra={"enum": list(ANNOTATORS)},
    )
    from_: Annotated[PathText, AfterValidator(beside_the_recipe)] = Field(
        default=PREVIOUS,
        description="Which picture: 'previous' is that of the stage before; or a file, cropped to the canvas' shape.",
    )
    sigma: Number = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Of canny: its thresholds are 1 - sigma and 1 + sigma times the picture's median.",
    )
    scale: Number = Field(default=0.5, ge=0, description="How strongly the ControlNet steers; 0 leaves it out.")
    start: Start = 0.0
    end: End = 1.0

    _control = StageCache(Control)

    @property
    def networks(self) -> dict[str, int]:
        """The ControlNet, unless nothing can be known of it, which `check` tells."""
        try:
            return {f"controlnet {self.model}": inspect_controlnet(self.model).parameters} if self.scale else {}
        except ModelError:
            return {}

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A ControlNet, a picture or weights of an annotator that can't be used, and a span that holds no step."""
        return [f"{self.plugin_name}: {problem}" for problem in self._problems(stage)]

    @hookimpl
    def keeps_composition(self, stage: Stage) -> bool:
        """The hint is of the whole canvas."""
        return self.scale > 0 and (self.from_ != PREVIOUS or stage.has_previous)

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Add the control to the prediction of the windows, and take it off again."""
        others = patches.controls
        if self.steers(stage, at, patches):
            patches.controls = (*others, self._control.get(stage) or self._control.set(stage, self.control(stage)))
        try:
            return (yield)
        finally:
            patches.controls = others

    def control(self, stage: Stage) -> Control:
        """What steers a stage's windows."""
        return Control(self.net(stage), self.hint(stage), self.scale)

    def net(self, stage: Stage) -> Any:
        """The ControlNet of diffusers that steers a stage; the model loads it once and keeps it."""
        return stage.model.controlnet(inspect_controlnet(self.model))

    def hint(self, stage: Stage) -> Tensor:
        """What the ControlNet is shown of a stage's canvas: (1, 3, H, W) in pixels, 0..1; asked once a stage."""
        from fusionkit.loop.ring import resized

        picture = self._picture(stage)
        around = beyond_the_edges(picture, stage.wrap)
        seen = pixels_of(annotate(self.annotator, around, sigma=self.sigma, device=stage.device)).to(stage.device)
        before, above = ((more - own) // 2 for more, own in zip(around.size, picture.size, strict=True))
        seen = seen[..., above : above + picture.height, before : before + picture.width]
        width, height = stage.plan.size
        if picture.size == (width, height):
            return seen
        # Bicubic interpolation overshoots at sharp edges, and a ControlNet knows hints of 0..1.
        return resized(seen, (height, width), stage.wrap).clamp(0, 1)

    def _picture(self, stage: Stage) -> Image:
        if self.from_ != PREVIOUS:
            return stage.laid(open_picture(Path(self.from_)))
        return stage.previous_picture

    def steers(self, stage: Stage, at: Step, patches: Patches) -> frozenset[str]:
        """Windows, while it is time, and where there is a picture."""
        has_picture = self.from_ != PREVIOUS or stage.has_previous
        does = (
            self.scale != 0
            and patches.kind == "window"
            and has_picture
            and within(self.start, self.end, at.index, at.total)
        )
        return frozenset({"controls"} if does else ())

    def _problems(self, stage: Stage) -> Iterator[str]:
        try:
            # Each of several models is steered by itself.
            net = inspect_controlnet(self.model)
            yield from dict.fromkeys(misfit for info in stage.infos.values() if (misfit := net.misfit(info)))
        except ModelError as error:
            yield from str(error).splitlines()
        yield from annotator_problems(self.annotator)
        yield from span_problems(self.start, self.end, stage.sampling_steps)
        if self.from_ != PREVIOUS:
            yield from picture_problems(Path(self.from_), "picture of 'from'")
        elif not stage.has_previous and stage.plan.size == stage.recipe.size:
            yield (
                "there is no picture of a stage before, as the run has one stage; give 'from' a file, or add "
                "progressive-upscaling and a larger size"
            )


def beyond_the_edges(picture: Image, wrap: Wrap) -> Image:
    """A picture with some pixels more at each edge that meets another, so that annotators see no edge there."""
    import numpy as np
    from PIL import Image

    above, before = (_BEYOND if axis in wrap else 0 for axis in "yx")
    if not wrap:
        return picture
    pixels = np.pad(np.array(picture), ((above, above), (before, before), (0, 0)), mode="wrap")
    return Image.fromarray(pixels)


def pixels_of(picture: Image) -> Tensor:
    """An RGB picture as a tensor, (1, 3, H, W), 0..1."""
    import numpy as np
    import torch

    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
