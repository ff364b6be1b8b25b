"""What an IP-Adapter is, by its file's header alone, and whether it fits a model (arXiv 2308.06721). No torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

from fusionkit.errors import ModelError
from fusionkit.loop.model import ModelInfo
from fusionkit.models.files.hub import hub_shapes
from fusionkit.models.files.weights import Shape, Shapes, read_header
from fusionkit.models.lora.names import named
from fusionkit.models.lora.place import find_file

Kind = Literal["projection", "resampler", "full"]

WHAT = "IP-Adapter"
"""What errors call it."""

_PROJECTION, _LAYERS = "image_proj.", "ip_adapter."
_LAYER = re.compile(r"ip_adapter\.(\d+)\.to_([kv])_ip\.weight")
_SIZES = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "SDXL"}


@dataclass(frozen=True)
class AdapterInfo:
    """What an IP-Adapter's header tells.

    Args:
        source: As the recipe names it.
        path: Its file.
        kind: How it makes tokens of what the encoder sees: a projection of the whole, a resampler of the encoder's
            own tokens ("plus"), or all of these ("full").
        image_width: How many numbers the encoder's answer has, or one of its tokens.
        token_width: How many numbers a token has that the layers look at.
        widths: Those of the layers' features, in diffusers' order.
        parameters: How many weights it has.
    """

    source: str
    path: Path
    kind: Kind
    image_width: int
    token_width: int
    widths: tuple[int, ...]
    parameters: int = 0

    def misfits(self, model: ModelInfo) -> Iterator[str]:
        """Why it can't be used with a model, one line each, that read on from its name."""
        ours, theirs = self.token_width, model.cross_attention_dim
        if theirs and ours != theirs:
            named_so = f", as those of {_SIZES[ours]} have" if ours in _SIZES else ""
            yield (
                f"is for another kind of model than '{model.name}': its layers look at tokens of {ours} "
                f"numbers{named_so}, not of {theirs}"
            )
        elif model.text_layers and (expected := tuple(_widths(model))) != self.widths:
            yield (
                f"is for another kind of model than '{model.name}': it has {_counted(self.widths)}, and the model "
                f"{_counted(expected)}"
            )


def _widths(model: ModelInfo) -> Iterator[int]:
    """The features of each layer of a UNet that looks at the text."""
    own = model.block_out_channels
    for name in model.text_layers:
        block, _, rest = name.partition(".")
        number = -1 if block == "mid_block" else int(rest.partition(".")[0])
        yield own[number] if block != "up_blocks" else own[-1 - number]


def _counted(widths: tuple[int, ...]) -> str:
    listed = ", ".join(f"{widths.count(width)} of {width}" for width in sorted(set(widths)))
    return f"{len(widths)} layers ({listed})"


def find_adapter(source: str, name: str | None, *, download: bool = False) -> Path | None:
    """An IP-Adapter's file; None of one on the hub that is not on this machine, where nothing is to be downloaded.

    Args:
        source: A file, a folder, or a hub id.
        name: The file within it, where it has several: `models/ip-adapter_sd15.safetensors`.
        download: Fetch it from the hub.

    Raises:
        ModelError: There is none, or it is no safetensors file.
    """
    try:
        return find_file(source, name, download=download, what=WHAT)
    except ModelError as error:
        raise ModelError(_told(source, name, str(error))) from error


def read_adapter(source: str, name: str | None, path: Path) -> AdapterInfo:
    """What is known of an IP-Adapter before its weights load.

    Raises:
        ModelError: It is damaged, no IP-Adapter, or one that can't be used.
    """
    return _info(source, name, path, read_header(path, called(source, name)))


def adapter_on_hub(source: str, name: str | None) -> AdapterInfo | None:
    """What the header of a file tells that is on the hub, and not on this machine; None where it can't be asked.

    Raises:
        ModelError: It is no IP-Adapter, or one that can't be used.
    """
    shapes = None if name is None else hub_shapes(source, name)
    return None if shapes is None or name is None else _info(source, name, Path(name), shapes)


def _info(source: str, name: str | None, path: Path, shapes: Shapes) -> AdapterInfo:
    what = called(source, name)
    projection = {key.removeprefix(_PROJECTION): each for key, each in shapes.items() if key.startswith(_PROJECTION)}
    layers = {key: each for key, each in shapes.items() if key.startswith(_LAYERS)}
    if not projection or not layers:
        held = f"it holds {named(sorted(shapes))}" if shapes else "it is empty"
        raise ModelError(
            f"{what} is no IP-Adapter of a UNet, which has tensors 'image_proj...' and 'ip_adapter...': {held}"
        )
    if _of_faces(projection, layers):
        raise ModelError(f"{what} is a FaceID adapter, which looks at faces through insightface; use one without")
    kind, image_width, token_width = _projected(projection, what)
    widths = tuple(_of_layers(layers, token_width, what))
    parameters = sum(map(prod, shapes.values()))
    return AdapterInfo(source, path, kind, image_width, token_width, widths, parameters)


def _of_faces(projection: Shapes, layers: Shapes) -> bool:
    marks = "perceiver_resampler.proj_in.weight" in projection or "norm.weight" in projection
    return (marks and "proj.weight" not in projection and "latents" not in projection) or any(
        "_lora." in key for key in layers
    )


def _projected(shapes: Shapes, what: str) -> tuple[Kind, int, int]:
    """Its kind, the encoder's width and the tokens', as diffusers tells them apart."""
    keys: Mapping[Kind, tuple[str, ...]] = {
        "projection": ("proj.weight", "norm.weight"),
        "full": ("proj.0.weight", "proj.3.weight"),
        "resampler": ("latents", "proj_in.weight", "proj_out.weight"),
    }
    kind = next((each for each, names in keys.items() if names[-1 if each == "full" else 0] in shapes), None)
    if kind is None or any(name not in shapes for name in keys[kind]):
        raise ModelError(f"{what} is of a kind that diffusers does not know: it holds {named(sorted(shapes))}")
    found = [shapes[name] for name in keys[kind]]
    if any(0 in shape or not shape for shape in found) or any(len(shape) != 2 for shape in _matrices(kind, found)):
        raise ModelError(f"{what} has matrices of shapes that can't be used: {named(list(keys[kind]))}")
    if kind == "projection":
        return kind, found[0][1], found[1][0]
    if kind == "full":
        return kind, found[0][0], found[1][0]
    return kind, found[1][1], found[2][0]


def _matrices(kind: Kind, shapes: list[Shape]) -> list[Shape]:
    return {"projection": shapes[:1], "full": shapes[:1], "resampler": shapes[1:]}[kind]


def _of_layers(shapes: Shapes, token_width: int, what: str) -> Iterator[int]:
    """The widths of the layers' features, in order."""
    found: dict[int, dict[str, Shape]] = {}
    for key, shape in shapes.items():
        if (match := _LAYER.fullmatch(key)) is None:
            raise ModelError(f"{what} holds tensors that are no IP-Adapter's: {key:.80}")
        found.setdefault(int(match[1]), {})[match[2]] = shape
    # One number of two: the others are the layers that look at the picture itself.
    if sorted(found) != list(range(1, 2 * len(found), 2)):
        raise ModelError(f"{what} is not whole: of its layers there are the numbers {named(list(map(str, found)), 8)}")
    for number, pair in sorted(found.items()):
        keys, values = pair.get("k"), pair.get("v")
        if keys is None or keys != values or len(keys) != 2 or keys[1] != token_width:
            raise ModelError(f"{what} has keys and values that do not fit its tokens of {token_width}: layer {number}")
        yield keys[0]


def called(source: str, name: str | None) -> str:
    """How errors call an IP-Adapter: by its file as far as the recipe names it."""
    return f"{WHAT} '{source}{f'/{name}' if name else ''}'"


def _told(source: str, name: str | None, line: str) -> str:
    if line.startswith(f"{WHAT} '"):
        return line
    return f"{called(source, name)}{':' if line.startswith('no such') else ''} {line}"
