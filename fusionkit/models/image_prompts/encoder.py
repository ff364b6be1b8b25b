"""Image encoders of IP-Adapters: where one is, what its configuration tells, and its weights' files. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import model_validator

from fusionkit.errors import ModelError
from fusionkit.models.files.config_values import CHANNEL_LIMIT, perhaps
from fusionkit.models.files.configs import Config, parsed
from fusionkit.models.files.folder import PICKLE_ADVICE
from fusionkit.models.files.hub import hub_file
from fusionkit.models.files.reading import read_json
from fusionkit.models.files.weights import PICKLES, variants_of, weights_of
from fusionkit.models.image_prompts.adapter import AdapterInfo
from fusionkit.models.lora.place import is_hub_id
from fusionkit.trust import refusal

WHAT, FOLDER = "image encoder", "image_encoder"
_STEM, _TYPES = "model", (None, "clip", "clip_vision_model")


class VisionConfig(Config):
    """`config.json` of a CLIP image encoder, or of a whole CLIP model."""

    model_type: str | None = None
    hidden_size: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = 768
    projection_dim: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = 512
    image_size: Annotated[int | None, perhaps(8, 4_096)] = 224

    @model_validator(mode="before")
    @classmethod
    def _of_pictures(cls, value: Any) -> Any:
        inner = value.get("vision_config") if isinstance(value, dict) else None
        return {**inner, "model_type": value.get("model_type")} if isinstance(inner, dict) else value


@dataclass(frozen=True)
class EncoderInfo:
    """What an image encoder's configuration tells.

    Args:
        where: As errors call it.
        folder: Its folder on this machine.
        hub: Its hub id and its folder there; None of one that is here.
        width: Numbers of each of its tokens.
        projected: Numbers of what it makes of the whole picture.
        side: Pixels along one side of what it sees.
    """

    where: str
    folder: Path
    hub: tuple[str, str] | None
    width: int
    projected: int
    side: int

    def misfit(self, adapter: AdapterInfo) -> str:
        """Why an adapter can't look through it, in one line; empty where it can."""
        own = self.projected if adapter.kind == "projection" else self.width
        if own == adapter.image_width:
            return ""
        return (
            f"{WHAT} '{self.where}' is not the adapter's: it sees {own} numbers, and '{adapter.path.name}' looks at "
            f"{adapter.image_width}; name the adapter's own, such as models/{FOLDER} of h94/IP-Adapter, by 'encoder'"
        )


def find_encoder(source: str, name: str | None, encoder: str | None) -> EncoderInfo:
    """What is known of an image encoder before its weights load; of one on the hub, its configuration is fetched.

    Args:
        source: The adapter, as the recipe names it.
        name: Its file within it.
        encoder: A folder, on this machine or within the adapter's; None is `image_encoder` beside its file.

    Raises:
        ModelError: There is none, it is of another kind, or of weights that are not safetensors.
    """
    path = Path(source).expanduser()
    if is_hub_id(source) and (refusal(source) or not path.exists()):
        return _on_hub(source, name, encoder)
    if encoder is not None and (reason := refusal(encoder)):
        raise ModelError(f"{WHAT} '{encoder}' {reason}")
    root = path if path.is_dir() else path.parent
    beside = root / (PurePosixPath(name).parent if name and path.is_dir() else "")
    folders = [beside / FOLDER] if encoder is None else [root / encoder, Path(encoder).expanduser()]
    return _in_folder(next((each for each in folders if each.is_dir()), folders[0]), encoder)


def _on_hub(source: str, name: str | None, encoder: str | None) -> EncoderInfo:
    if encoder is not None and not refusal(encoder) and Path(encoder).expanduser().is_dir():
        return _in_folder(Path(encoder).expanduser(), encoder)
    inner = (PurePosixPath(name or "").parent / FOLDER).as_posix() if encoder is None else encoder.strip("/")
    if ".." in PurePosixPath(inner).parts:
        raise ModelError(f"{WHAT} '{encoder}' is outside of '{source}'; name a folder in it, or one of this machine")
    config = hub_file(source, f"{inner}/config.json", None, what=WHAT)
    return _read(config.parent, f"{source}/{inner}", (source, inner))


def _in_folder(folder: Path, named: str | None) -> EncoderInfo:
    where = str(folder)
    if reason := refusal(folder):
        raise ModelError(f"{WHAT} '{where}' {reason}")
    if not (folder / "config.json").is_file():
        missing = "has no config.json" if folder.is_dir() else "is not there"
        raise ModelError(f"{WHAT} '{where}' {missing}; name the folder of the adapter's own encoder by 'encoder'")
    info = _read(folder, where, None)
    _variant(info)
    return info


def _read(folder: Path, where: str, hub: tuple[str, str] | None) -> EncoderInfo:
    what = f"{WHAT} '{where}'"
    content = read_json(folder / "config.json", what)
    if (kind := content.get("model_type")) not in _TYPES:
        raise ModelError(f"{what} is a {kind!s:.40}; IP-Adapters of UNets look through CLIP's")
    config = parsed(VisionConfig, content, "config.json", what)
    return EncoderInfo(
        where, folder, hub, config.hidden_size or 768, config.projection_dim or 512, config.image_size or 224
    )


def _variant(info: EncoderInfo) -> str | None:
    """Which variant of its weights to read, their headers checked."""
    what, found = f"{WHAT} '{info.where}'", variants_of(info.folder, _STEM)
    variant = None if None in found or not found else found[0]
    if not found or weights_of(info.folder, _STEM, variant, what) is None:
        pickled = any(file.suffix in PICKLES for file in info.folder.glob("*"))
        raise ModelError(f"{what} {PICKLE_ADVICE if pickled else 'has no model.safetensors'}")
    return variant


def files_of(info: EncoderInfo) -> tuple[Path, str | None]:
    """The folder of its files, downloaded if they are not here, and which variant of its weights to read.

    Raises:
        ModelError: They are not there, or damaged.
    """
    if info.hub is not None:
        hub_file(info.hub[0], f"{info.hub[1]}/{_STEM}.safetensors", None, what=WHAT)
    return info.folder, _variant(info)
