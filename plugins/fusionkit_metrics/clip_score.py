"""CLIP score: whether a picture's crops show what its prompt says (Hessel et al., arXiv 2104.08718)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from fusionkit.errors import FusionError, ModelError
from fusionkit.evaluation.metric import Better, CropStep, Metric
from fusionkit.recipe.prompt_syntax import words_alone
from fusionkit_metrics.libraries import TORCHMETRICS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

USUAL_MODEL, USUAL_SIZE = "openai/clip-vit-base-patch16", "600 MB"
CACHED_AS = ("model.safetensors", "pytorch_model.bin")
"""Names of the weights on the hub."""


class CLIPScore(Metric, name="clip-score"):
    """How well the crops of a picture fit its prompt: 100 cos(image, text), the mean over crops, at least 0.

    Computed by torchmetrics, with the model that arXiv 2412.12771 uses.
    """

    title: ClassVar[str] = "CLIP score"
    better: ClassVar[Better] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"prompt", "crop"})
    weights: ClassVar[tuple[str, ...]] = ("clip",)
    libraries: ClassVar[Mapping[str, str]] = TORCHMETRICS

    crop_step: CropStep = None
    model: str = Field(
        default=USUAL_MODEL, description="CLIP model of the hub; --weights clip=FOLDER names a local one."
    )

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """The base's problems, and a model that can't be loaded."""
        if problems := super().problems(pictures, reference, tools):
            return problems
        try:
            source = self._source(tools)
            if not Path(source).exists():
                _reach(source, tools.download)
            _clip(source)
        except FusionError as error:
            return str(error).splitlines()
        return []

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The mean score of the picture's crops with the picture's prompt."""
        crops = picture.crops(self.crop_step)
        return agreement(crops, words_alone(picture.prompt or ""), self._source(tools), tools.device)

    def _source(self, tools: Tools) -> str:
        """The local folder where one is given, or the model's name."""
        return str(tools.weights.get("clip", self.model))


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
            return float(clip_score(images, [prompt] * len(images), lambda: _clip(source)))


class _Plain:
    """A CLIP model whose features are tensors: with transformers 5 they are objects, which torchmetrics can't take."""

    def __init__(self, model: Any) -> None:
        self.model, self.config = model, model.config

    def to(self, device: Any) -> _Plain:
        self.model.to(device)
        return self

    def get_image_features(self, *args: Any) -> Any:
        return _tensor(self.model.get_image_features(*args))

    def get_text_features(self, *args: Any) -> Any:
        return _tensor(self.model.get_text_features(*args))


def _tensor(features: Any) -> Any:
    return getattr(features, "pooler_output", features)


@lru_cache(maxsize=1)
def _clip(source: str) -> tuple[Any, Any]:
    """The model and its processor.

    Raises:
        ModelError: They can't be loaded: what, its size, from where, and how to give a local one.
    """
    from transformers import CLIPModel, CLIPProcessor

    from fusionkit.models.silence import quiet_loading

    try:
        with quiet_loading():
            model: Any = CLIPModel.from_pretrained(source)
            return _Plain(model.eval()), CLIPProcessor.from_pretrained(source)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"CLIP model '{source}' can't be loaded: {' '.join(str(error).split())[:200]}") from error


def _reach(source: str, download: bool) -> None:
    """Ask the hub whether it has the model, which takes a moment; loading would try for half a minute.

    Raises:
        ModelError: It has not, or can't be reached, or the model may not be downloaded.
    """
    from huggingface_hub import try_to_load_from_cache

    from fusionkit.models.files.hub import hub_file

    if any(isinstance(try_to_load_from_cache(source, name), str) for name in CACHED_AS):
        return
    size = f" ({USUAL_SIZE})" if source == USUAL_MODEL else ""
    where = f"https://huggingface.co/{source}{size}"
    local = "--weights clip=FOLDER"
    if not download:
        raise ModelError(
            f"CLIP model '{source}' is not on this machine; name the metric to have it downloaded from {where}, or "
            f"give its folder: {local}"
        )
    try:
        hub_file(source, "config.json", None, what="CLIP model")
    except ModelError as error:
        raise ModelError(f"{error}; it is {where}: fetch it elsewhere and give its folder: {local}") from error
