"""A ring: a canvas whose edges meet, for panoramas of 360 degrees and textures that can be tiled."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from fusionkit import Field, Plugin, Stage, StagePlan, hookimpl

if TYPE_CHECKING:
    from PIL.Image import Image

    from fusionkit.loop.views import Wrap

Axes: TypeAlias = Literal["x", "y", "xy", "none"]
"""Along which axes the edges of the canvas meet, as a recipe writes it."""
_LESS = {"x": "narrower", "y": "less high"}
_GPANO = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"
 GPano:ProjectionType="equirectangular" GPano:UsePanoramaViewer="True"
 GPano:FullPanoWidthPixels="{width}" GPano:FullPanoHeightPixels="{full}"
 GPano:CroppedAreaImageWidthPixels="{width}" GPano:CroppedAreaImageHeightPixels="{height}"
 GPano:CroppedAreaLeftPixels="0" GPano:CroppedAreaTopPixels="{top}"/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


class Ring(Plugin):
    """Let the edges of the picture meet, so that it has no beginning and no end.

    Windows that reach over an edge go on at the other one, in whatever plugin makes them, and so do the noise, the
    decoder and all that looks at neighbours: x and x + W are one place.
    """

    axes: Axes = Field(
        default="x",
        description="Which edges meet: left and right (x), top and bottom (y), both (xy), or none.",
    )
    panorama: bool | None = Field(
        default=None,
        description="Say in the file that it shows 360 degrees around its middle row (GPano), so that viewers turn "
        "around in it; by default where x alone is a ring and the picture is at least twice as wide as high.",
    )

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """Axes that are shorter than the window, and a panorama that is none."""
        # They are of the finished picture: a smaller stage is one window, which is cut to it, ring or not.
        return [f"{self.plugin_name}: {problem}" for problem in self._problems(stage)] if stage.index == 0 else []

    def _problems(self, stage: Stage) -> Iterator[str]:
        size, window = stage.recipe.size, stage.recipe.window or stage.info.window
        for axis, side, least in zip("xy", size, window, strict=True):
            if axis in self._wrap and side < least:
                yield (
                    f"the size of {size[0]}x{size[1]} is {_LESS[axis]} than the model's window of {least} pixels, "
                    f"which would meet itself along {axis}; use at least {least}"
                )
        if self.panorama and self.axes != "x":
            yield f"a panorama of 360 degrees is a ring along x alone, and axes is '{self.axes}'"
        elif self.panorama and 2 * size[1] > size[0]:
            yield f"a panorama of 360 degrees is at least twice as wide as high, and the size is {size[0]}x{size[1]}"

    @hookimpl(wrapper=True)
    def plan_stages(self) -> Generator[None, list[StagePlan], list[StagePlan]]:
        """Each stage is a ring."""
        return closed((yield), self.axes)

    @hookimpl(wrapper=True)
    def xmp(self, image: Image) -> Generator[None, str, str]:
        """Tell viewers that the picture goes around, unless somebody has told them something else."""
        notes = yield
        width, height = image.size
        goes_around = self.axes == "x" and 2 * height <= width
        return panorama_notes(width, height) if goes_around and self.panorama is not False and not notes else notes

    @property
    def _wrap(self) -> Wrap:
        return "" if self.axes == "none" else self.axes


def closed(plans: Sequence[StagePlan], axes: Axes) -> list[StagePlan]:
    """Stages whose edges meet along these axes, too."""
    own = "" if axes == "none" else axes
    return [
        replace(plan, wrap=cast("Wrap", "".join(axis for axis in "xy" if axis in plan.wrap or axis in own)))
        for plan in plans
    ]


def panorama_notes(width: int, height: int) -> str:
    """An XMP packet that says of a picture that it shows 360 degrees around the horizon, as GPano has it.

    The whole sphere is twice as wide as high; the picture is a strip around its middle.

    Args:
        width: Of the picture, in pixels.
        height: At most half of the width.
    """
    full = width // 2
    return _GPANO.format(width=width, height=height, full=full, top=(full - height) // 2)
