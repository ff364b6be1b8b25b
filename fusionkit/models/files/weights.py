"""The weights' files of one component: which they are, and whether they are whole, by their headers alone."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from fusionkit.errors import ModelError
from fusionkit.models.files.reading import TABLE_LIMIT, inner, read_json, size_of

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

HEADER_LIMIT = 16_000_000
"""Bytes that the header of a `.safetensors` file may have; that of SDXL as one file has half a million."""

SHARD_LIMIT = 1_000
"""The most files that the weights of one component may be in."""

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".msgpack", ".h5")

# Bits of a number of each type that the format knows.
_BITS = {"BOOL": 8, "BF16": 16, "F4": 4}
_BITS |= {f"{kind}{bits}": bits for kind in "IUF" for bits in (8, 16, 32, 64)} | {"C64": 64}
_BITS |= {"F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6}

# How the files begin that git has in place of large ones.
_POINTER = b"version "

_Natural = Annotated[int, Field(strict=True, ge=0, lt=2**60)]


class _Tensor(BaseModel):
    dtype: str
    shape: Annotated[list[_Natural], Field(max_length=16)]
    data_offsets: tuple[_Natural, _Natural]

    @property
    def bits(self) -> int:
        return prod(self.shape) * _BITS.get(self.dtype, 0)


class _Index(BaseModel):
    metadata: dict[str, Any]
    weight_map: dict[str, str]


_HEADER = TypeAdapter(dict[str, _Tensor])


@dataclass(frozen=True)
class Weights:
    """The weights of one component.

    Args:
        files: All `.safetensors` files that are read.
        shapes: The shape of every tensor in them, by name.
        variant: Such as `fp16`; None are the plain ones.
    """

    files: tuple[Path, ...]
    shapes: Shapes
    variant: str | None = None

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return sum(map(prod, self.shapes.values()))


def read_header(path: Path, what: str) -> dict[str, Shape]:
    """The shape of every tensor in a `.safetensors` file, by name; no tensor is read.

    Args:
        path: The file.
        what: Whose it is, as errors begin: "model 'name'".

    Raises:
        ModelError: The file can't be read, is too short for what its header tells, or is no safetensors file.
    """
    try:
        size = size_of(path, what)
        with path.open("rb") as file:
            start = file.read(8)
            if start == _POINTER:
                raise ModelError(
                    f"{what}: {path.name} is a pointer of git-lfs, not the weights; get them: git lfs pull"
                )
            length = int.from_bytes(start, "little")
            if 2**40 > length > size - 8 and file.read(2) == b'{"':
                raise ModelError(f"{what}: {_missing(path, length + 8 - size)}")
            file.seek(8)
            if size < 8 or not 0 < length <= min(HEADER_LIMIT, size - 8):
                raise ValueError("no header")
            tensors = _parsed(file.read(length))
    except OSError as error:
        raise ModelError(f"{what}: {path.name} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"{what}: {path.name} is no whole safetensors file") from error
    ends = [0, *sorted(tensor.data_offsets[1] for tensor in tensors.values())]
    if (lacking := 8 + length + ends[-1] - size) > 0:
        raise ModelError(f"{what}: {_missing(path, lacking)}")
    if lacking < 0 or not all(map(_is_sound, tensors.values())) or not _side_by_side(tensors):
        raise ModelError(f"{what}: {path.name} is no whole safetensors file: its header does not fit what follows")
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def first_numbers(path: Path, name: str, count: int = 64) -> list[float]:
    """The first numbers of one tensor of a `.safetensors` file; nothing if it is not there, or of another type.

    Args:
        path: The file, whose header has been checked.
        name: The tensor's.
        count: How many numbers at most.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        tensor = _parsed(file.read(length)).get(name)
        if tensor is None or tensor.dtype not in _FLOATS:
            return []
        size, code = _FLOATS[tensor.dtype]
        file.seek(8 + length + tensor.data_offsets[0])
        data = file.read(min(count, prod(tensor.shape)) * size)
    if tensor.dtype == "BF16":
        # The upper half of a float32.
        data = b"".join(b"\0\0" + data[start : start + 2] for start in range(0, len(data), 2))
        size = 4
    return list(struct.unpack(f"<{len(data) // size}{code}", data))


# Of a number of each type, its bytes and its code.
_FLOATS = {"F32": (4, "f"), "F16": (2, "e"), "BF16": (2, "f")}


def _parsed(header: bytes) -> dict[str, _Tensor]:
    from pydantic_core import from_json

    content = from_json(header)
    if not isinstance(content, dict):
        raise ValueError("no header")
    content.pop("__metadata__", None)
    return _HEADER.validate_python(content)


def _missing(path: Path, count: int) -> str:
    part = f"{path.parent.name}/" if re.fullmatch(r"unet|transformer|vae|text_encoder(_\d)?", path.parent.name) else ""
    return f"{part}{path.name} is {count:,} bytes too short: it was not downloaded or copied whole; get it again"


def _is_sound(tensor: _Tensor) -> bool:
    begin, end = tensor.data_offsets
    # A type that is newer than this table is the library's business.
    return tensor.dtype not in _BITS or end - begin == (tensor.bits + 7) // 8


def _side_by_side(tensors: Mapping[str, _Tensor]) -> bool:
    """Whether each tensor begins where the one before it ends: none overlap, and nothing lies between them."""
    spans = sorted(tensor.data_offsets for tensor in tensors.values())
    return all(one[1] == other[0] for one, other in pairwise([(0, 0), *spans]))


def variants_of(folder: Path, stem: str) -> list[str | None]:
    """Which variants of a component's weights are in a folder, the plain ones (None) first."""
    return variants_among((file.name for file in folder.glob(f"{stem}*")), stem)


def variants_among(names: Iterable[str], stem: str) -> list[str | None]:
    """Which variants of a component's weights some files are of, the plain ones (None) first."""
    found = {variant_of(name, stem) for name in names}
    return sorted(found - {""}, key=lambda variant: variant or "")


def variant_of(name: str, stem: str) -> str | None:
    """The variant of a file of weights, or of an index, by its name; None for a plain one, "" for any other file."""
    for pattern in _NAMES:
        if match := re.fullmatch(re.escape(stem) + pattern, name):
            return match[1] or match[2]
    return ""


_VARIANT = r"(?:\.([A-Za-z][\w-]*?))?"
_NAMES = (
    rf"{_VARIANT}(?:-\d+-of-\d+)?{_VARIANT}\.safetensors",
    rf"{_VARIANT}\.safetensors\.index{_VARIANT}\.json",
)


def weights_of(folder: Path, stem: str, variant: str | None, what: str) -> Weights | None:
    """The weights of one component and variant, every file's header checked; None where there are none.

    Nothing but `.safetensors` files beside the index counts, whatever an index names.

    Args:
        folder: The component's folder.
        stem: How its files' names begin: `diffusion_pytorch_model`, or `model`.
        variant: Such as `fp16`; None are the plain ones.
        what: Whose it is, as errors begin: "model 'name'".

    Raises:
        ModelError: A file is damaged or missing, or an index names what it must not.
    """
    dotted = f".{variant}" if variant else ""
    single = folder / f"{stem}{dotted}.safetensors"
    whole = read_header(single, what) if _there(single) else None
    names = {f"{stem}.safetensors.index{dotted}.json", f"{stem}{dotted}.safetensors.index.json"}
    indexed = [_indexed(folder / name, what) for name in sorted(names) if _there(folder / name)]
    if indexed and (whole is None or stem != "model"):
        # diffusers prefers an index, and transformers a single file.
        return Weights(*indexed[-1], variant)
    return None if whole is None else Weights((single,), whole, variant)


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _indexed(path: Path, what: str) -> tuple[tuple[Path, ...], Shapes]:
    """The files that an index names and their tensors."""
    place = f"{what}: {inner(path)}"
    try:
        index = _Index.model_validate(read_json(path, what, TABLE_LIMIT))
    except ValidationError as error:
        raise ModelError(f"{place} is no index of weights") from error
    names = sorted(set(index.weight_map.values()))
    if problem := next(_wrong_names(names), ""):
        raise ModelError(f"{place} {problem}")
    files = [path.parent / name for name in names]
    if gone := [file.name for file in files if not file.exists()]:
        raise ModelError(f"{place} names files that are not there: {', '.join(gone[:5])}; get them again")
    shapes = {file.name: read_header(file, what) for file in files}
    if lost := [name for name, file in index.weight_map.items() if name not in shapes[file]]:
        raise ModelError(f"{place} names weights that its files do not hold ({len(lost):,}), such as '{lost[0]:.80}'")
    return tuple(files), {name: shapes[file][name] for name, file in index.weight_map.items()}


def _wrong_names(names: list[str]) -> Iterator[str]:
    if not names or len(names) > SHARD_LIMIT:
        yield f"names {len(names):,} files; 1 to {SHARD_LIMIT:,} are possible"
    for name in names:
        if not re.fullmatch(r"[^/\\:\0]+\.safetensors", name) or name.startswith("."):
            yield f"names '{name:.80}', which is no .safetensors file beside it; nothing else is opened"
