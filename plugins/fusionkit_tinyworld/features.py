"""The classifier of the embedded world as a feature network, for scores that need no download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.errors import ModelError
from fusionkit.evaluation.features import Features, resized
from fusionkit_tinyworld import WEIGHTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from fusionkit_tinyworld.classifier import Classifier

SIZE = (64, 64)
BATCH = 256
TYPICAL = (1.10, 7.00)
"""Root mean squares of the last layer's means and of its maxima, over 400 of the drawings that it was trained on."""


class JudgeFeatures(Features):
    """What a network that reads an embedded world's pictures sees: its last layer, pooled, and the layers before.

    Args:
        network: Its `body` is a sequence of layers, of which those that count end in SiLU.
    """

    width: ClassVar[int]
    """Numbers that `pooled` gives."""
    typical: ClassVar[tuple[float, float]]
    """Root mean squares of the last layer's means and of its maxima, over drawings."""
    batch: ClassVar[int]
    """Crops that are looked at together."""

    def __init__(self, network: Any) -> None:
        self.network = network.eval().requires_grad_(False)

    def pooled(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The means and the maxima of the last layer's channels, (n, width): what the network decides by.

        Divided by what is typical of each, so that both count alike, and so that the kernel of KID, (x y / D + 1)^3,
        is as far from linear as it is for Inception.
        """
        import numpy as np
        import torch

        found = [np.zeros((0, self.width))]
        for start in range(0, len(crops), self.batch):
            *_, last = self.maps(crops[start : start + self.batch])
            halves = [last.mean((2, 3)) / self.typical[0], last.amax((2, 3)) / self.typical[1]]
            found.append(torch.cat(halves, dim=1).double().cpu().numpy())
        return np.concatenate(found)

    def maps(self, crops: NDArray[np.uint8]) -> list[Tensor]:
        """The activations of all layers, each (n, C, h, w), the finest first."""
        import torch

        with torch.inference_mode():
            return self.layers(self._input(crops))

    def class_scores(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The logarithm of each combination's probability, (n, combinations): an answer to every question of one crop.

        The network answers each question by itself, so that the probabilities are multiplied.
        """
        import numpy as np
        import torch

        found = []
        with torch.inference_mode():
            for start in range(0, max(1, len(crops)), self.batch):
                answers = self.network(self._input(crops[start : start + self.batch]))
                joint = torch.zeros(1, 1, dtype=torch.float64)
                for question in self.network.heads:
                    one = answers[question].double().cpu().log_softmax(dim=1)
                    joint = (joint[:, :, None] + one[:, None, :]).flatten(1)
                found.append(joint.numpy())
        return np.concatenate(found)

    def _input(self, crops: NDArray[np.uint8]) -> Tensor:
        """Crops (n, h, w, 3) as the network takes them."""
        import torch

        pixels = torch.from_numpy(resized(crops, self.size)).permute(0, 3, 1, 2) / 127.5 - 1
        return pixels.to(next(self.network.parameters()).device)

    def layers(self, pictures: Tensor) -> list[Tensor]:
        """The same of pictures (n, 3, h, w) in -1..1; gradients go through it."""
        from torch import nn
        from torch.nn.functional import interpolate

        x = pictures
        if tuple(x.shape[-2:]) != self.size[::-1]:
            x = interpolate(x, self.size[::-1], mode="bilinear", antialias=True, align_corners=False)
        found = []
        for layer in self.network.body:
            x = layer(x)
            if isinstance(layer, nn.SiLU):
                found.append(x)
        return found

    def perceptual_distance(self, some: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
        """As LPIPS, but for its learned weights of channels, so that the numbers are not LPIPS': see `map_distance`."""
        import numpy as np

        found = [np.zeros(0)]
        for start in range(0, len(some), self.batch):
            part = slice(start, start + self.batch)
            found.append(map_distance(self.maps(some[part]), self.maps(others[part])).double().cpu().numpy())
        return np.concatenate(found)


class TinyworldFeatures(JudgeFeatures):
    """What the classifier of `tinyworld` sees before it decides: its last layer, pooled, and the layers before.

    It was trained on drawings of 64 px alone, so its scores rank pictures of the embedded world, and no others. They
    are not on the scale of Inception's.
    """

    name = "tinyworld"
    size = SIZE
    width, batch, typical = 256, BATCH, TYPICAL

    @classmethod
    def from_weights(
        cls, path: Path | None, device: str, *, others: Mapping[str, Path] | None = None, download: bool = True
    ) -> TinyworldFeatures:
        """The classifier that ships with the package, or another one: its weights, with config.json beside them."""
        return cls(classifier_of(path, device))


def map_distance(some: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """How far activations are apart, (n,): arXiv 1801.03924, eq. 1, with all weights 1 and the mean over layers.

    At each place the vector over channels is scaled to length 1, and the squared length of the difference is taken; the
    mean over places and layers. So 0 for equal pictures, and at most 4.

    Args:
        some: Of each layer (n, C, h, w).
        others: The same of the other crops.
    """
    import torch

    def unit(layer: Tensor) -> Tensor:
        return torch.nn.functional.normalize(layer, dim=1, eps=1e-10)

    layers = [(unit(a) - unit(b)).square().sum(dim=1).mean(dim=(1, 2)) for a, b in zip(some, others, strict=True)]
    return torch.stack(layers).mean(dim=0)


def classifier_of(path: Path | None, device: str) -> Classifier:
    """The classifier of a file of weights, with config.json beside it; None is the one of the package.

    Raises:
        ModelError: There is none, or it is another network.
    """
    import json

    import torch
    from safetensors import SafetensorError

    from fusionkit_tinyworld.classifier import WEIGHTS as FILE
    from fusionkit_tinyworld.classifier import load_classifier

    folder = WEIGHTS / "classifier" if path is None else path.parent
    if path is not None and path.name != FILE:
        raise ModelError(
            f"weights tinyworld: '{path}' is no {FILE}, with config.json beside it, as training writes them"
        )
    try:
        return load_classifier(folder, torch.device(device))
    except FileNotFoundError as error:
        raise ModelError(f"weights tinyworld: no such file '{error.filename or folder / FILE}'") from error
    except (SafetensorError, RuntimeError, KeyError, json.JSONDecodeError) as error:
        raise ModelError(f"weights tinyworld: '{folder}' does not hold the classifier of tinyworld") from error
