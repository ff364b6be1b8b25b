"""The judge of the embedded world `vista` as a feature network, for scores that need no download."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.errors import ModelError
from fusionkit_tinyworld.features import JudgeFeatures

if TYPE_CHECKING:
    from fusionkit_vista.judge import Judge

SIDE = 128
BATCH = 64
TYPICAL = (0.51, 3.47)
"""Root mean squares of the last layer's means and of its maxima, over 400 drawings."""


class VistaFeatures(JudgeFeatures):
    """What the judge of `vista` sees before it decides: its last layer, pooled, and the layers before.

    It was trained on drawings of 128 px alone, so its scores rank pictures of the embedded world, and no others. They
    are not on the scale of Inception's.
    """

    name = "vista"
    size = (SIDE, SIDE)
    width, batch, typical = 224, BATCH, TYPICAL

    @classmethod
    def from_weights(
        cls, path: Path | None, device: str, *, others: Mapping[str, Path] | None = None, download: bool = True
    ) -> VistaFeatures:
        """The judge that ships with the package, or another one: its weights, with config.json beside them."""
        return cls(judge_of(path, device))


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
