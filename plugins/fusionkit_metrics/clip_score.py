"""CLIP score: whether a picture's crops show what its prompt says (Hessel et al., arXiv 2104.08718)."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.evaluation.metric import CropStep
from fusionkit.recipe.prompt_syntax import words_alone
from fusionkit_metrics.clip import ByCLIP, clip

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools


class CLIPScore(ByCLIP, name="clip-score"):
    """How well the crops of a picture fit its prompt: 100 cos(image, text), the mean over crops, at least 0.

    Computed by torchmetrics, with the model that arXiv 2412.12771 uses.
    """

    title: ClassVar[str] = "CLIP score"
    needs: ClassVar[frozenset[str]] = frozenset({"prompt", "crop"})

    crop_step: CropStep = None

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The mean score of the picture's crops with the picture's prompt."""
        crops = picture.crops(self.crop_step)
        return agreement(crops, words_alone(picture.prompt or ""), self.source(tools), tools.device)


def agreement(crops: NDArray[np.uint8], prompt: str, source: str, device: str = "cpu") -> float:
    """The CLIP score of crops (n, h, w, 3) with a prompt, by a model of the hub or of a folder.

    A prompt of more tokens than the model takes, 77 for CLIP, is cut there.

    Raises:
        ModelError: The model can't be loaded.
    """
    import torch
    from torchmetrics.functional.multimodal import clip_score

    images = list(torch.tensor(crops, device=device).permute(0, 3, 1, 2))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Encountered caption longer than")
        with torch.inference_mode():
            return float(clip_score(images, [prompt] * len(images), lambda: clip(source)))
