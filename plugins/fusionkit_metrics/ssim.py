"""Structural similarity of two runs, picture by picture (Wang et al. 2004)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.evaluation.metric import Better, Metric
from fusionkit_metrics.libraries import TORCHMETRICS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

WINDOW = 11
"""Side in pixels of the Gaussian window, of standard deviation 1.5, that statistics are taken in."""


class SSIM(Metric, name="ssim"):
    """How alike each picture and its partner of the other run are: 1 for equal ones.

    (2 m n + c)(2 s + d) / ((m^2 + n^2 + c)(v + w + d)) in each window, with the means m and n, the variances v and w
    and the covariance s of the two pictures; the mean over windows and channels. Computed by torchmetrics.
    """

    title: ClassVar[str] = "SSIM"
    # Two runs that should agree want 1; two seeds that should differ do not.
    better: ClassVar[Better] = "none"
    needs: ClassVar[frozenset[str]] = frozenset({"partner"})
    any_size: ClassVar[bool] = True
    libraries: ClassVar[Mapping[str, str]] = TORCHMETRICS

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """The base's problems, and pictures that are smaller than a window."""
        small = [each for each in pictures if min(each.size) < WINDOW]
        lines = [
            f"needs pictures of at least {WINDOW}x{WINDOW} pixels; {each.path.name} has {each.size[0]}x{each.size[1]}"
            for each in small[:1]
        ]
        return super().problems(pictures, reference, tools) + lines

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The similarity of a picture and its partner."""
        from fusionkit.evaluation.picture import read_pixels

        if picture.partner is None:
            return nan
        return similarity(picture.pixels(), read_pixels(picture.partner), tools.device)


def similarity(some: NDArray[np.uint8], others: NDArray[np.uint8], device: str = "cpu") -> float:
    """SSIM of two pictures (H, W, 3), with constants for values of 0..255."""
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    first, second = (torch.tensor(each, device=device).permute(2, 0, 1)[None].float() for each in (some, others))
    # Variances as differences of squares lose digits: in doubles where the device has them.
    if not device.startswith("mps"):
        first, second = first.double(), second.double()
    found: Any = structural_similarity_index_measure(first, second, data_range=255.0)
    return float(found)
