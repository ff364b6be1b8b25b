"""The base of every feature network: something that looks at crops and says in numbers what it sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fusionkit.errors import ModelError
from fusionkit.registry import Group

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class Features(ABC):
    """A network that looks at crops.

    A subclass is offered through the entry point group `fusionkit.features`, by its name.

    Attributes:
        name: By which it is chosen; it is written beside every score.
        size: The input's (width, height) in pixels; crops are resized to it.
        weights: Names of further weights, beside its own name, that a local file may be given for.
    """

    name: str
    size: tuple[int, int]
    weights: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def from_weights(
        cls, path: Path | None, device: str, *, others: Mapping[str, Path] | None = None, download: bool = True
    ) -> Features:
        """The network, loaded.

        Args:
            path: A local file with its weights, as `--weights NAME=FILE` names it; None for the usual place.
            device: Where to compute, as torch calls it: "cpu", "cuda:0", ...
            others: All local files of weights by name, for a network that takes several.
            download: Whether weights that are not on this machine may be downloaded; otherwise they are missing.

        Raises:
            ModelError: The weights are missing or can't be read: in one line which file, its size, from which URL,
                and how to give a local one.
        """

    @abstractmethod
    def pooled(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """One vector a crop, (n, D), of crops (n, h, w, 3)."""

    def maps(self, crops: NDArray[np.uint8]) -> list[Tensor]:
        """Activations of several layers, each (n, C, h, w), of crops (n, h, w, 3).

        Raises:
            ModelError: The network does not offer them.
        """
        raise self._lacking("have no maps")

    def perceptual_distance(self, some: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
        """How differently two crops look, (n,), for n pairs of crops (n, h, w, 3): LPIPS (arXiv 1801.03924).

        Raises:
            ModelError: The network does not offer it.
        """
        raise self._lacking("have no perceptual distance")

    def class_scores(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """What the network takes crops (n, h, w, 3) for, (n, classes): their softmax are the probabilities.

        Raises:
            ModelError: The network does not offer it.
        """
        raise self._lacking("tell no classes apart")

    def _lacking(self, what: str) -> ModelError:
        return ModelError(f"features '{self.name}' {what}; --features names another network")


def resized(crops: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """Crops (n, h, w, 3) at another (width, height), as (n, height, width, 3) in 0..255, anti-aliased and not rounded.

    Bicubic by Pillow, each channel on its own in floating point, as clean-fid does (arXiv 2104.11222): the resize of
    torch and of OpenCV does not filter when it reduces, and such aliasing moves FID by more than methods differ.
    """
    import numpy as np
    from PIL import Image

    if crops.shape[1:3] == (size[1], size[0]):
        return crops.astype(np.float32)

    def channel(values: NDArray[np.uint8]) -> NDArray[np.float32]:
        image = Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
        # Bicubic overshoots at edges.
        return np.asarray(image, dtype=np.float32).clip(0, 255)

    return stacked([np.stack([channel(crop[..., c]) for c in range(3)], axis=-1) for crop in crops], size)


def stacked(crops: Sequence[NDArray[np.float32]], size: tuple[int, int]) -> NDArray[np.float32]:
    """Crops (h, w, 3) as one array (n, h, w, 3); also where there are none."""
    import numpy as np

    return np.stack(crops) if crops else np.zeros((0, size[1], size[0], 3), np.float32)


FEATURES: Group[Features] = Group("fusionkit.features", "features", Features)  # type: ignore[type-abstract]
"""What the installed packages offer."""
