"""What a LoRA file holds, from its header and its alphas alone. Imports no torch."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

from fusionkit.errors import ModelError
from fusionkit.models.lora.names import component, method, named, split

Shape = tuple[int, ...]

HEADER_LIMIT = 20_000_000
"""Bytes of the longest header that is read; that of a large LoRA has less than a tenth of it."""
_CONFIG_LIMIT = 1_000_000
_LARGEST_ALPHA = 1e6
_ONE = {"F64": "<d", "F32": "<f", "F16": "<e", "I64": "<q", "I32": "<i", "I16": "<h", "I8": "<b", "U8": "<B"}


@dataclass
class LoraLayer:
    """What a file holds for one layer: W + scale alpha/rank up down.

    Args:
        part: "unet", "text_encoder", "text_encoder_2", or "other".
        name: The layer's name in that part, as the file spells it.
        keys: The names of its tensors, by "down", "up" and "mid".
        shapes: Their shapes.
        alpha: As kohya means it; None is the rank.
    """

    part: str
    name: str
    keys: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    alpha: float | None = None

    @property
    def rank(self) -> int:
        """Rows of the down matrix."""
        return self.shapes["down"][0]

    @property
    def scaling(self) -> float:
        """alpha/rank."""
        return 1.0 if self.alpha is None else self.alpha / self.rank


@dataclass(frozen=True)
class LoraFile:
    """A LoRA file whose layers are whole.

    Args:
        path: The file.
        layers: Its layers.
    """

    path: Path
    layers: list[LoraLayer]


def read_lora(path: Path) -> LoraFile:
    """The layers of a LoRA file, by its header; of its tensors the alphas alone are read.

    Raises:
        ModelError: It is damaged, no LoRA, not whole, or of a kind that can't be put on; one line for each problem,
            which reads on from the file's name.
    """
    header, start = read_whole_header(path)
    shapes = {key: tuple(entry["shape"]) for key, entry in header.items() if key != "__metadata__"}
    layers: dict[str, LoraLayer] = {}
    strange: dict[str, list[str]] = {}
    for key, shape in shapes.items():
        found = None if (other := method(key)) else split(key)
        if found is None:
            strange.setdefault(other, []).append(key)
            continue
        spelled, part = found
        layer = layers.setdefault(spelled, LoraLayer(*component(spelled)))
        if part == "alpha":
            layer.alpha = _alpha(path, header[key], start)
        else:
            layer.keys[part], layer.shapes[part] = key, shape
    if problems := _strange(strange, any(layer.keys for layer in layers.values())) or _broken(layers):
        raise ModelError("\n".join(problems))
    _set_alphas(layers, header.get("__metadata__") or {}, path)
    if wrong := [name for name, layer in layers.items() if not _sane(layer.alpha)]:
        raise ModelError(f"has an alpha that is no number of a sensible size, of {named(wrong)}")
    if layers and not any(layer.scaling for layer in layers.values()):
        raise ModelError("changes nothing: the alpha of each of its layers is 0")
    return LoraFile(path, list(layers.values()))


def read_whole_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file whose length fits its header, and where its tensors begin.

    Raises:
        ModelError: It is damaged, or no such file; reads on from its name.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ModelError("is no file")
    try:
        with path.open("rb") as file:
            start = file.read(8)
            if start == b"version ":
                raise ModelError("is a pointer of git-lfs, not the LoRA; get it: git lfs pull")
            length = int.from_bytes(start, "little")
            if not 0 < length <= HEADER_LIMIT:
                raise ModelError("is damaged, or no safetensors file: its header has no sensible length")
            header = json.loads(file.read(length))
        with safe_open(str(path), framework="np"):  # compares the tensors' places with the file's length
            return header, 8 + length
    except OSError as error:
        raise ModelError(f"can't be read: {error.strerror or error}") from error
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ModelError("is damaged, or no safetensors file: download or save it again") from error


def _alpha(path: Path, entry: Mapping[str, Any], start: int) -> float | None:
    """The number in a tensor of one element; NaN of any other tensor."""
    begin, end = entry["data_offsets"]
    if end - begin > 8:
        return float("nan")
    with path.open("rb") as file:
        file.seek(start + begin)
        raw = file.read(end - begin)
    kind = entry["dtype"]
    if kind == "BF16" and len(raw) == 2:
        raw, kind = b"\0\0" + raw, "F32"
    if kind == "F8_E5M2" and len(raw) == 1:
        raw, kind = b"\0" + raw, "F16"
    if kind == "F8_E4M3" and len(raw) == 1:
        return _of_e4m3(raw[0])
    code = _ONE.get(kind)
    return float(struct.unpack(code, raw)[0]) if code and len(raw) == struct.calcsize(code) else float("nan")


def _of_e4m3(byte: int) -> float:
    """A number of 1 sign, 4 exponent and 3 fraction bits; all ones are NaN (arXiv 2209.05433, table 1)."""
    exponent, fraction = byte >> 3 & 15, byte & 7
    if byte & 127 == 127:
        return float("nan")
    size = (8 + fraction) * 2.0 ** (exponent - 10) if exponent else fraction * 2.0**-9
    return -size if byte & 128 else size


def _sane(alpha: float | None) -> bool:
    return alpha is None or (isfinite(alpha) and abs(alpha) <= _LARGEST_ALPHA)


def _strange(strange: Mapping[str, list[str]], is_lora: bool) -> list[str]:
    """One line for each kind of tensor that is no LoRA's."""
    if not is_lora and set(strange) <= {""}:
        return [f"is no LoRA: it holds {named(strange.get('', []))}" if strange else "is empty"]
    lines = [
        f"is or holds a {kind} ({named(keys, 1)}), which can't be put on; merge it into its model with the tool "
        f"that made it, and name that model"
        for kind, keys in strange.items()
        if kind
    ]
    if unknown := strange.get(""):
        lines.append(f"holds {len(unknown):,} tensors that are no LoRA's: {named(unknown)}")
    return lines


def _broken(layers: Mapping[str, LoraLayer]) -> list[str]:
    """What is wrong with the layers by themselves."""
    halves = [name for name, layer in layers.items() if not {"down", "up"} <= set(layer.keys)]
    if halves:
        return [f"is not whole: 'down' or 'up' is missing of {named(halves)}"]
    wrong = [name for name, layer in layers.items() if not _multiplies(layer.shapes)]
    if wrong:
        return [f"has matrices that can't be multiplied, of {named(wrong)}"]
    return []


def _multiplies(shapes: Mapping[str, Shape]) -> bool:
    """Whether up, and mid where there is one, and down have shapes of matrices or kernels that fit each other."""
    down, up, mid = shapes["down"], shapes["up"], shapes.get("mid")
    if any(len(shape) not in (2, 4) or 0 in shape for shape in (down, up)) or set(up[2:]) - {1}:
        return False
    if mid is None:
        return up[1] == down[0]
    # A kernel that was taken apart: up (o, r), mid (r, r', k, k), down (r', i).
    return len(mid) == 4 and 0 not in mid and not set(down[2:]) - {1} and (up[1], mid[1]) == (mid[0], down[0])


def _set_alphas(layers: Mapping[str, LoraLayer], metadata: Mapping[str, Any], path: Path) -> None:
    """Alphas that peft keeps beside the tensors: in the file's own metadata, or in `adapter_config.json`."""
    settings = _settings(metadata, path, any(name.startswith("base_model.") for name in layers))
    for layer in layers.values():
        prefix = f"{layer.part}."
        own = {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}
        config = own or {key: value for key, value in settings.items() if "." not in key}
        alpha = _matching(config.get("alpha_pattern"), layer.name, config.get("lora_alpha"))
        if layer.alpha is None and isinstance(alpha, (int, float)):
            layer.alpha = float(alpha) * (sqrt(layer.rank) if config.get("use_rslora") else 1)


def _settings(metadata: Mapping[str, Any], path: Path, is_peft: bool) -> dict[str, Any]:
    text = metadata.get("lora_adapter_metadata", "")
    beside = path.with_name("adapter_config.json")
    try:
        if not text and is_peft and beside.is_file() and beside.stat().st_size <= _CONFIG_LIMIT:
            text = beside.read_text(encoding="utf-8")
        settings = json.loads(text) if text else {}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"has settings of peft that can't be read: {' '.join(str(error).split()):.100}") from error
    return settings if isinstance(settings, dict) else {}


def _matching(pattern: Any, name: str, default: Any) -> Any:
    """A layer's own value, by the end of its name as peft takes it, or what applies to all."""
    for key, value in (pattern or {}).items() if isinstance(pattern, dict) else ():
        if name == key or name.endswith(f".{key}") or re.sub(r"\\(.)", r"\1", key).lstrip("^") == name:
            return value
    return default
