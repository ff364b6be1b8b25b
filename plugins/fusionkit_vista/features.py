"""The judge of the embedded world `vista` as a feature network, for scores that need no download."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.errors import ModelError
from fusionkit.evaluation.features import Features, resized
from fusionkit_tinyworld.features import map_distance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from fusionkit_vista.judge import Judge

SIDE = 128
BATCH = 64
TYPICAL = (0.51, 3.47)
"""Root mean squares of the last layer's means and of its maxima, over 400 drawings."""


class VistaFeatures(Features):
    """What the judge of `vista` sees before it decides: its last layer, pooled, and the layers before.

    It was trained on drawings of 128 px alone, so its scores rank pictures of the embedded world, and no others. They
    are not on the scale of Inception's.
    """

    name = "vista"
    size = (SIDE, SIDE)

    def __init__(self, judge: Judge) -> None:
        self.judge = judge.eval().requires_grad_(False)

    @classmethod
    def from_weights(
        cls, path: Path | None, device: str, *, others: Mapping[str, Path] | None = None, download: bool = True
    ) -> VistaFeatures:
        """The judge that ships with the package, or another one: its weights, with config.json beside them."""
        return cls(judge_of(path, device))

    def pooled(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The means and the maxima of the last layer's 112 channels, (n, 224): what the judge decides by.

        Divided by what is typical of each, so that both count alike, and so that the kernel of KID, (x y / D + 1)^3,
        is as far from linear as it is for Inception.
        """
        import numpy as np
        import torch

        found = [np.zeros((0, 224))]
        for start in range(0, len(crops), BATCH):
            *_, last = self.maps(crops[start : start + BATCH])
            halves = [last.mean((2, 3)) / TYPICAL[0], last.amax((2, 3)) / TYPICAL[1]]
            found.append(torch.cat(halves, dim=1).double().cpu().numpy())
        return np.concatenate(found)

    def maps(self, crops: NDArray[np.uint8]) -> list[Tensor]:
        """The activations of all layers, each (n, C, h, w): 24 channels of 64x64 pixels to 112 of 4x4."""
        import torch
        from torch import nn

        x = torch.from_numpy(resized(crops, self.size)).permute(0, 3, 1, 2) / 127.5 - 1
        x = x.to(next(self.judge.parameters()).device)
        found = []
        with torch.inference_mode():
            for layer in self.judge.body:
                x = layer(x)
                if isinstance(layer, nn.SiLU):
                    found.append(x)
        return found

    def perceptual_distance(self, some: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
        """As LPIPS, but for its learned weights of channels, so that the numbers are not LPIPS': see `map_distance`."""
        import numpy as np

        found = [np.zeros(0)]
        for start in range(0, len(some), BATCH):
            part = slice(start, start + BATCH)
            found.append(map_distance(self.maps(some[part]), self.maps(others[part])).double().cpu().numpy())
        return np.concatenate(found)


def judge_of(path: Path | None, device: str) -> Judge:
    """The judge of a file of weights, with config.json beside it; None is the one of the package.

    Raises:
        ModelError: There is none, or it is another network.
    """
    import json

    import torch
    from safetensors import SafetensorError

    from fusionkit_vista.judge import WEIGHTS as FILE
    from fusionkit_vista.judge import load_judge

    folder = Path(__file__).parent / "weights" / "judge" if path is None else path.parent
    if path is not None and path.name != FILE:
        raise ModelError(f"weights vista: '{path}' is no {FILE}, with config.json beside it, as training writes them")
    try:
        return load_judge(folder, torch.device(device))
    except FileNotFoundError as error:
        raise ModelError(f"weights vista: no such file '{error.filename or folder / FILE}'") from error
    except (SafetensorError, RuntimeError, KeyError, json.JSONDecodeError) as error:
        raise ModelError(f"weights vista: '{folder}' does not hold the judge of vista") from error
