"""Seams: whether brightness jumps more at the borders of the views than at other places of the same kind."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, isnan, nan
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from fusionkit.evaluation.metric import Better, Metric
from fusionkit.recipe import Number
from fusionkit_metrics.luminance import luminance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.picture import Box, Picture
    from fusionkit.evaluation.tools import Tools
    from fusionkit.loop.views import Wrap

Views = Sequence[tuple["Box", float]]
USUAL_FACTOR = 8
"""Pixels of a latent pixel in most models, for pictures that do not say which model drew them."""


class Seam(Metric):
    """The jump of brightness across the borders of the views, as a multiple of that elsewhere: 1 is no seam.

    B is the mean of |L(p) - L(p - 1)| over all pairs of pixels with a border between them, by the share of the steps
    in which a view ended there; E that over the other pairs at which a latent pixel begins, since the decoder has a
    grid of its own that is no seam. The value of a set is sum(B) / sum(E): a mean of ratios would be that of its
    flattest skies, in which 1 / E is noise.
    """

    wrap: Literal["", "x", "y", "xy"] | None = Field(
        default=None,
        description="Along which axes the pictures are rings, whose edges are a place as any other: x, y or xy; by "
        "default as their recipes say.",
    )
    last: Number = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of the steps, the last ones, whose borders count. Windows that move have borders "
        "everywhere, which leaves little to compare with; those of the last steps are the ones that can be seen.",
    )

    title: ClassVar[str] = "seam"
    better: ClassVar[Better] = "closer-to-1"
    needs: ClassVar[frozenset[str]] = frozenset({"views"})

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """The base's problems, and pictures without a border, or with nothing but borders."""
        problems = super().problems(pictures, reference, tools)
        if problems:
            return problems
        masses = [border_masses(picture, self._wrap(picture), self.last) for picture in pictures]
        if all(borders == 0 for borders, _ in masses):
            return ["needs pictures of several views; there is no border between views in any of these"]
        if all(elsewhere == 0 for _, elsewhere in masses):
            return ["needs places without a border to compare with; the views of these pictures end everywhere"]
        return []

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """(B, E), in steps of brightness 0..255; NaN where there is no border, or nothing else."""
        views = picture.views(self.last)
        return jumps(luminance(picture.pixels()), views, phase_of(picture), self._wrap(picture))

    def _wrap(self, picture: Picture) -> Wrap:
        return picture.wrap() if self.wrap is None else self.wrap

    def each(self, described: Any) -> float:
        """The picture's own ratio; NaN for one that is flat all over."""
        border, elsewhere = (float(value) for value in described)
        return border / elsewhere if elsewhere > 0 else nan

    def score(self, described: Sequence[Any], reference: Sequence[Any]) -> float:
        """The ratio of the sums, over the pictures that have one."""
        known = [(float(b), float(e)) for b, e in described if not (isnan(b) or isnan(e))]
        elsewhere = sum(e for _, e in known)
        return sum(b for b, _ in known) / elsewhere if elsewhere > 0 else nan


def phase_of(picture: Picture) -> int:
    """How many pixels lie between places of one kind: those of a latent pixel, or fewer where views end in between."""
    factor = picture.factor or USUAL_FACTOR
    return gcd(factor, *(side for box, _ in picture.views() for side in box if side not in picture.size))


def border_masses(picture: Picture, wrap: Wrap = "", last: float = 1.0) -> tuple[float, float]:
    """How many pairs of neighbouring pixels have a border between them, and with how many those can be compared.

    Pairs with a border in a share of the steps count on both sides by their shares. Of the directions that have
    borders, the one with the least to compare with decides. Along the axes `wrap` the picture is a ring; `last` is the
    share of the steps, the last ones, that count.
    """
    found = [
        border_shares(each.views, each.size, phase_of(picture), each.ring, each.stacked)
        for each in _both_directions(picture.views(last), picture.size, wrap)
    ]
    with_borders = [shares for shares in found if shares.any()]
    borders = sum(float(shares.sum()) for shares in with_borders)
    return borders, min((float((1 - shares).sum()) for shares in with_borders), default=0.0)


def jumps(brightness: NDArray[np.float64], views: Views, phase: int, wrap: Wrap = "") -> NDArray[np.float64]:
    """(B, E): the mean jump across borders, and elsewhere; NaN where there is no such place.

    Args:
        brightness: (H, W).
        views: Each view in pixels, and the share of the steps in which it was there.
        phase: Pixels of a latent pixel.
        wrap: Along which axes the picture is a ring.
    """
    import numpy as np

    height, width = brightness.shape
    border_sum = elsewhere_sum = mass = 0.0
    for values, along in zip((brightness, brightness.T), _both_directions(views, (width, height), wrap), strict=True):
        shares = border_shares(along.views, along.size, phase, along.ring, along.stacked)
        closed = np.concatenate([values, values[:, :1]], axis=1) if along.ring else values
        across = np.abs(np.diff(closed, axis=1))[:, phase - 1 :: phase]
        if not (borders := float(shares.sum())):
            continue
        others = 1 - shares
        border_sum += float((shares * across).sum())
        # Rows of a landscape differ more than its columns do, without any seam: each direction is compared with
        # itself, and weighs as much as it has borders.
        elsewhere_sum += borders * float((others * across).sum() / others.sum()) if others.any() else nan
        mass += borders
    return np.array([border_sum / mass, elsewhere_sum / mass] if mass else [nan, nan])


def border_shares(
    views: Views, size: tuple[int, int], phase: int, ring: bool = False, stacked: bool = False
) -> NDArray[np.float64]:
    """In what share of the steps a view begins or ends at each place of each row, (height, places), 0..1.

    The places are those between the columns phase - 1 and phase, 2 phase - 1 and 2 phase, and so on; of a ring, the one
    between the last and the first column too. Views that share a border and come in some steps only are taken as coming
    independently of each other.

    Args:
        views: Each view in pixels, and the share of the steps in which it was there.
        size: (width, height) of the picture in pixels.
        phase: Pixels of a latent pixel.
        ring: Whether its left and right edges meet.
        stacked: Whether its upper and lower edges meet.
    """
    import numpy as np

    width, height = size
    without = np.ones((height, width // phase if ring else (width - 1) // phase))
    for (left, top, right, bottom), share in views:
        rows = np.arange(top, bottom) % height if stacked else slice(top, bottom)
        for border in (left, right):
            place = (border - 1) % width + 1 if ring else border
            if 0 < place < width or ring:
                without[rows, place // phase - 1] *= 1 - share
    shares: NDArray[np.float64] = 1 - without
    return shares


def profile(pixels: NDArray[np.uint8], axis: int = 1) -> NDArray[np.float64]:
    """The mean jump of brightness at each place along an axis of a picture (H, W, 3): entry p is between p and p + 1.

    Args:
        pixels: The picture.
        axis: 1 from left to right, (W - 1,); 0 from top to bottom, (H - 1,).
    """
    import numpy as np

    found: NDArray[np.float64] = np.abs(np.diff(luminance(pixels), axis=axis)).mean(axis=1 - axis)
    return found


class _Along(NamedTuple):
    """Views, and a picture's size, as they are looked at from left to right."""

    views: Views
    size: tuple[int, int]
    ring: bool
    stacked: bool


def _both_directions(views: Views, size: tuple[int, int], wrap: Wrap) -> tuple[_Along, _Along]:
    """The views and the size, and both with rows for columns."""
    turned = [((top, left, bottom, right), share) for (left, top, right, bottom), share in views]
    across, down = "x" in wrap, "y" in wrap
    return _Along(views, size, across, down), _Along(turned, (size[1], size[0]), down, across)
