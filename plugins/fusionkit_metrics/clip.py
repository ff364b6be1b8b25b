"""CLIP, which says how well a picture and a text go together: found, looked at, and loaded from safetensors alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from fusionkit.errors import FusionError, ModelError
from fusionkit.evaluation.metric import Better, Metric
from fusionkit_metrics.libraries import TORCHMETRICS

if TYPE_CHECKING:
    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

USUAL_MODEL, USUAL_SIZE = "openai/clip-vit-base-patch16", "600 MB"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
"""What transformers calls a model's weights, whole or in several files."""


class ByCLIP(Metric):
    """A metric that looks with a CLIP, which several of them share."""

    better: ClassVar[Better] = "higher"
    weights: ClassVar[tuple[str, ...]] = ("clip",)
    libraries: ClassVar[Mapping[str, str]] = TORCHMETRICS

    model: str = Field(
        default=USUAL_MODEL, description="CLIP model of the hub; --weights clip=FOLDER names a local one."
    )

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """The base's problems, and a model that can't be loaded."""
        if problems := super().problems(pictures, reference, tools):
            return problems
        try:
            source = self.source(tools)
            if not Path(source).exists():
                _reach(source, tools.download)
            clip(source)
        except FusionError as error:
            return str(error).splitlines()
        return []

    def source(self, tools: Tools) -> str:
        """The local folder where one is given, or the model's name."""
        return str(tools.weights.get("clip", self.model))


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


@lru_cache(maxsize=2)  # two metrics may ask two models in turn
def clip(source: str) -> tuple[Any, Any]:
    """The model and its processor, of the hub or of a folder.

    Raises:
        ModelError: They can't be loaded, or are no CLIP with all of its weights.
    """
    from transformers import CLIPConfig, CLIPModel, CLIPProcessor

    from fusionkit.models.guard import only_safetensors, told_as
    from fusionkit.models.silence import quiet_loading

    with told_as(f"CLIP model '{source}' can't be loaded"), quiet_loading(), only_safetensors():
        if (kind := CLIPConfig.get_config_dict(source)[0].get("model_type")) is None:
            raise ModelError(f"CLIP model '{source}' can't be loaded: it has no config.json that says which it is")
        if kind != "clip":
            raise ModelError(f"'{source}' is no CLIP: its config.json says model_type '{kind!s:.40}'")
        if Path(source).is_dir() and not any((Path(source) / name).is_file() for name in WEIGHTS):
            raise ModelError(f"CLIP model '{source}' has no {WEIGHTS[0]}; weights of other formats are not opened")
        loaded: Any = CLIPModel.from_pretrained(source, use_safetensors=True, output_loading_info=True)
        model, told = loaded
        if missing := sorted(told["missing_keys"]):
            raise ModelError(f"CLIP model '{source}' lacks {len(missing)} of its weights, '{missing[0]}' first")
        return _Plain(model.eval()), CLIPProcessor.from_pretrained(source)


def _reach(source: str, download: bool) -> None:
    """Ask the hub whether it has the model, which takes a moment; loading would try for half a minute.

    Raises:
        ModelError: It has not, or can't be reached, or the model may not be downloaded.
    """
    from huggingface_hub import try_to_load_from_cache

    from fusionkit.models.files.hub import hub_file

    if any(isinstance(try_to_load_from_cache(source, name), str) for name in WEIGHTS):
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
