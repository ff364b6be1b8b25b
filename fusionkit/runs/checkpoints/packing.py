"""Values as JSON and tensors, and back: all that is kept of a run, without pickle.

JSON says of everything what it is, so that a tuple comes back as a tuple and a number as the number that it was, to the
last bit. Tensors come back with their type and with their strides, in which libraries add up numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusionkit.loop.room import IN_MEMORY, Room
from fusionkit.runs.checkpoints.annotations import field_names, is_record

_DEPTH = 50


class Unwritable(Exception):  # noqa: N818 - whoever packs says whose it is
    """A value that can't be written, and where it is in what was to be packed."""


class Unreadable(Exception):  # noqa: N818 - likewise
    """Packed content that is none, or not of the expected kinds."""


class Packer:
    """Packs values; tensors are copied, so that they may change afterwards.

    Args:
        device: Of the canvas; tensors that are elsewhere come back on the CPU.
        room: Where the copies of large tensors are.

    Attributes:
        tensors: The copies, by names that the packed values refer to.
    """

    def __init__(self, device: torch.device, room: Room = IN_MEMORY) -> None:
        self.device = device
        self.room = room
        self.tensors: dict[str, Tensor] = {}

    def pack(self, value: Any, where: str = "it", records: Mapping[str, type] | None = None, depth: int = 0) -> Any:
        """A value as JSON.

        Args:
            value: Numbers, texts, tensors, arrays, and lists, tuples, mappings and records of those.
            where: Its name in errors.
            records: Classes of records that it may have, by name.
            depth: How deep it is in what is packed.

        Raises:
            Unwritable: It holds something else.
        """
        if value is None or type(value) in (bool, int, float, str):
            return value
        if depth > _DEPTH:
            raise Unwritable(f"'{where}' is nested too deeply")

        def within(part: Any, name: str) -> Any:
            return self.pack(part, f"{where}{name}", records, depth + 1)

        if isinstance(value, Tensor):
            return self._tensor(value, where)
        if isinstance(value, np.ndarray):
            return {"array": self._array(value, where)}
        if isinstance(value, np.generic):
            return {"scalar": self._array(np.asarray(value), where)}
        if type(value) is list:
            return [within(part, f"[{number}]") for number, part in enumerate(value)]
        if type(value) is tuple:
            return {"tuple": [within(part, f"[{number}]") for number, part in enumerate(value)]}
        if type(value) is dict:
            return {"dict": [[within(key, " (a key)"), within(part, f"[{key!r}]")] for key, part in value.items()]}
        kind = type(value)
        if is_record(kind) and (records or {}).get(kind.__qualname__) is kind:
            fields = {name: within(getattr(value, name), f".{name}") for name in field_names(kind)}
            return {"record": kind.__qualname__, "fields": fields}
        raise Unwritable(f"'{where}' is a {kind.__qualname__}{_hint(kind)}")

    def _tensor(self, value: Tensor, where: str) -> dict[str, Any]:
        if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.is_meta:
            raise Unwritable(f"'{where}' is a tensor of another kind than safetensors holds")
        packed: dict[str, Any] = {"tensor": self._add(self.room.copy(value.detach()))}
        if not value.is_contiguous() and 0 not in value.stride():
            packed["strides"] = list(value.stride())
        if value.device != self.device:
            packed["on"] = "cpu"
        return packed

    def _array(self, value: Any, where: str) -> str:
        try:
            return self._add(torch.from_numpy(np.array(value, order="C")))
        except TypeError as error:
            raise Unwritable(f"'{where}' is an array of {value.dtype}, which safetensors does not hold") from error

    def _add(self, tensor: Tensor) -> str:
        name = str(len(self.tensors))
        self.tensors[name] = tensor
        return name


class Unpacker:
    """Unpacks what a `Packer` packed.

    Args:
        tensors: Those that the packed values refer to.
        device: Of the canvas.
    """

    def __init__(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        self.tensors = tensors
        self.device = device

    def unpack(self, packed: Any, records: Mapping[str, type] | None = None) -> Any:
        """The value.

        Args:
            packed: From `Packer.pack`.
            records: Classes of records that it may have, by name.

        Raises:
            Unreadable: It is not what a packer makes.
        """
        try:
            return self._value(packed, records or {})
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, RecursionError) as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from error

    def _value(self, packed: Any, records: Mapping[str, type]) -> Any:
        if isinstance(packed, list):
            return [self._value(part, records) for part in packed]
        if not isinstance(packed, dict):
            return packed
        if "tensor" in packed:
            return self._tensor(packed)
        if "array" in packed:
            return self._own(packed["array"]).numpy()
        if "scalar" in packed:
            return self._own(packed["scalar"]).numpy()[()]
        if "tuple" in packed:
            return tuple(self._value(part, records) for part in packed["tuple"])
        if "dict" in packed:
            return {self._value(key, records): self._value(part, records) for key, part in packed["dict"]}
        return _record(
            records[packed["record"]], {name: self._value(part, records) for name, part in packed["fields"].items()}
        )

    def _tensor(self, packed: Mapping[str, Any]) -> Tensor:
        tensor = self._own(packed["tensor"])
        if "strides" in packed:
            spread = torch.empty_strided(tensor.shape, packed["strides"], dtype=tensor.dtype)
            tensor = spread.copy_(tensor)
        return tensor if packed.get("on") == "cpu" else tensor.to(self.device)

    def _own(self, name: str) -> Tensor:
        # What a file was mapped into begins anywhere in memory, and how numbers are added up may depend on that.
        return self.tensors[name].clone()


def _record(kind: type, values: Mapping[str, Any]) -> Any:
    """A record of the values, whatever its constructor takes: what is computed there is among them."""
    if set(values) != set(field_names(kind)):
        raise ValueError(f"{kind.__qualname__} has other fields now")
    if issubclass(kind, tuple):
        return kind(**values)
    made = kind.__new__(kind)
    if hasattr(kind, "model_construct"):
        return kind.model_construct(**values)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def _hint(kind: type) -> str:
    return ", whose class its declaration does not tell; name it in 'parts'" if is_record(kind) else ""
