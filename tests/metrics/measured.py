"""Pictures and features whose scores are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusionkit.evaluation.features import Features
from fusionkit.evaluation.picture import Picture
from fusionkit.evaluation.tools import Tools


def noise(height: int, width: int, seed: int = 0, low: int = 0, high: int = 256) -> NDArray[np.uint8]:
    """A picture (height, width, 3) of even noise."""
    return np.random.default_rng(seed).integers(low, high, (height, width, 3)).astype(np.uint8)


def picture_of(pixels: NDArray[np.uint8], path: Path, **told: object) -> Picture:
    """A picture file with these pixels, and what is known of it."""
    Image.fromarray(pixels).save(path)
    return Picture(path, (pixels.shape[1], pixels.shape[0]), **told)  # type: ignore[arg-type]


def exactly(mean: NDArray[np.float64], covariance: NDArray[np.float64], count: int, seed: int) -> NDArray[np.float64]:
    """Features (count, D) whose sample mean and sample covariance are these to the last digits."""
    drawn = np.random.default_rng(seed).normal(size=(count, len(mean)))
    drawn -= drawn.mean(0)
    white = drawn @ np.linalg.inv(np.linalg.cholesky(np.cov(drawn.T))).T
    features: NDArray[np.float64] = white @ np.linalg.cholesky(covariance).T + mean
    return features


class MeanColour(Features):
    """Features that can be computed by hand: the mean red, green and blue of a crop."""

    name = "mean-colour"
    size = (8, 8)

    @classmethod
    def from_weights(
        cls, path: Path | None, device: str, *, others: Mapping[str, Path] | None = None, download: bool = True
    ) -> MeanColour:
        return cls()

    def pooled(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        return crops.mean((1, 2), dtype=np.float64)


def tools(features: str | Features = "tinyworld", **options: object) -> Tools:
    """What metrics look with, on the CPU."""
    return Tools(features, device="cpu", **options)  # type: ignore[arg-type]
