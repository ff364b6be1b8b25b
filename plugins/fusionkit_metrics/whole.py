"""What metrics share that look at each picture whole, whatever its size, and at nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from fusionkit.evaluation.metric import Better, Metric
from fusionkit.evaluation.needs import named
from fusionkit.recipe import Count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

Longest = Annotated[
    Count | None,
    Field(
        description="Pixels of the longer side to which larger pictures are reduced before they are looked at, so that "
        "those of several sizes can be compared; none looks at the pixels as they are.",
    ),
]


class Whole(Metric):
    """A metric of each pixel's neighbourhood, which larger pictures may be reduced for; lower is better."""

    better: ClassVar[Better] = "lower"
    any_size: ClassVar[bool] = True
    smallest: ClassVar[int] = 1
    """The shortest side in pixels that can be looked at."""

    longest: Longest = None

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """The base's problems, and pictures that are too small, before or after they are reduced."""
        return super().problems(pictures, reference, tools) + too_small(pictures, self.smallest, self.longest)

    def pixels(self, picture: Picture) -> NDArray[np.uint8]:
        """The picture's pixels, (H, W, 3), reduced where it is larger than `longest`."""
        return reduced(picture.pixels(), self.longest)


def too_small(pictures: Sequence[Picture], smallest: int, longest: int | None = None) -> list[str]:
    """One line where pictures have a shorter side of fewer pixels than a metric can look at.

    Args:
        pictures: The pictures.
        smallest: The fewest pixels of a shorter side.
        longest: Of the longer side, to which larger pictures are reduced first; None leaves them as they are.
    """
    small = [each for each in pictures if min(_reduced_size(each.size, longest)) < smallest]
    if not small:
        return []
    reduced_to = f" when their longer side is {longest}" if longest and min(small[0].size) >= smallest else ""
    return [f"needs pictures of at least {smallest}x{smallest} pixels{reduced_to}; too small: {named(small)}"]


def reduced(pixels: NDArray[np.uint8], longest: int | None) -> NDArray[np.uint8]:
    """A picture (H, W, 3) whose longer side has so many pixels at the most, anti-aliased; a smaller one as it is."""
    import numpy as np
    from PIL import Image

    height, width = pixels.shape[:2]
    if longest is None or max(width, height) <= longest:
        return pixels
    size = _reduced_size((width, height), longest)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS), dtype=np.uint8)


def _reduced_size(size: tuple[int, int], longest: int | None) -> tuple[int, int]:
    """(width, height) of a picture that is reduced to a longer side, its shorter side one pixel at least."""
    share = min(1.0, longest / max(size)) if longest else 1.0
    width, height = (max(1, round(side * share)) for side in size)
    return width, height
