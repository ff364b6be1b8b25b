"""How blurred a picture is by itself (Crete, Dolmiere, Ladret and Nicolas 2007)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit_metrics.libraries import SKIMAGE
from fusionkit_metrics.whole import Whole

if TYPE_CHECKING:
    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

WINDOW = 11
"""Pixels of the blur that a picture is compared with, as published; another one would give another scale."""


class Blur(Whole):
    """How blurred a picture is: the share of its edges that one more blur leaves as they are, from 0 to 1.

    What is sharp loses most of its edges when it is blurred again, and what is blurred has little left to lose. The
    direction that is the more blurred, across or down, decides. Computed by scikit-image.
    """

    title: ClassVar[str] = "blur"
    libraries: ClassVar[Mapping[str, str]] = SKIMAGE
    smallest: ClassVar[int] = WINDOW

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The picture's blur."""
        from skimage import measure

        blur_effect: Any = measure.blur_effect  # which has no types
        return float(blur_effect(self.pixels(picture), h_size=WINDOW, channel_axis=-1))
