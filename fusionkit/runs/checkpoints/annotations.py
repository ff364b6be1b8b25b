"""The classes that a declared type is made of, and what of it can't be written, by its annotations."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel

_PLAIN = (bool, int, float, str, NoneType)
_CONTAINERS = (list, tuple, dict)
_ARRAYS = ("torch", "numpy")


class _Unknown:
    """Stands for a name that is imported for type checkers alone."""

    def __getattr__(self, name: str) -> _Unknown:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: object) -> _Unknown:
        return self

    def __or__(self, other: object) -> _Unknown:
        return self

    __ror__ = __or__


UNKNOWN = _Unknown()


class _Names(Mapping[str, Any]):
    """The names of a module, and `UNKNOWN` for those that it does not have."""

    def __init__(self, module: str) -> None:
        self._own = vars(sys.modules[module]) if module in sys.modules else {}

    def __getitem__(self, name: str) -> Any:
        import builtins

        return self._own.get(name, getattr(builtins, name, UNKNOWN))

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


def is_record(kind: Any) -> bool:
    """Whether a class has named fields: a dataclass, a pydantic model, or a tuple with names."""
    return isinstance(kind, type) and (
        is_dataclass(kind) or issubclass(kind, BaseModel) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )


def field_names(kind: type) -> list[str]:
    """The fields of a record."""
    if issubclass(kind, BaseModel):
        return list(kind.model_fields)
    if is_dataclass(kind):
        return [field.name for field in fields(kind)]
    return list(kind._fields)  # type: ignore[attr-defined]


def hints_of(kind: type) -> dict[str, Any]:
    """The annotations of a record's fields, evaluated as far as they can be."""
    hints: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        names = _Names(base.__module__)
        for name, annotation in vars(base).get("__annotations__", {}).items():
            hints[name] = _evaluated(annotation, names)
    return {name: hints.get(name, UNKNOWN) for name in field_names(kind)}


def records_in(kind: Any, known: dict[str, type] | None = None) -> dict[str, type]:
    """The records of which a type is made, by the names of their classes; itself first."""
    found = {} if known is None else known
    if is_record(kind) and found.get(kind.__qualname__) is not kind:
        found[kind.__qualname__] = kind
        for hint in hints_of(kind).values():
            records_in(hint, found)
    for part in get_args(kind):
        records_in(part, found)
    return found


def unwritable(kind: Any, where: str, seen: tuple[Any, ...] = ()) -> Iterator[str]:
    """What of a type can't be written, a line each: where, and what it is."""
    if kind in (Any, object) or isinstance(kind, (_Unknown, TypeVar)) or kind in seen or kind in _PLAIN:
        return
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        for part in get_args(kind):
            yield from unwritable(part, where, seen)
    elif origin is Annotated:
        yield from unwritable(get_args(kind)[0], where, seen)
    elif origin in _CONTAINERS or kind in _CONTAINERS:
        for part in get_args(kind):
            if part is not ...:
                yield from unwritable(part, where, seen)
    elif is_record(kind):
        for name, hint in hints_of(kind).items():
            yield from unwritable(hint, f"{where}.{name}", (*seen, kind))
    elif origin is Literal or (kind if origin is None else origin).__module__.partition(".")[0] in _ARRAYS:
        return
    elif not _is_protocol_of_containers(origin):
        yield f"'{where}' is of type {getattr(kind, '__qualname__', kind)}"


def _is_protocol_of_containers(origin: Any) -> bool:
    """Whether it is `Sequence`, `Mapping` or the like: what stands there is seen when it is written."""
    return getattr(origin, "__module__", "") == "collections.abc" and getattr(origin, "__name__", "") in (
        *("Sequence", "MutableSequence", "Mapping", "MutableMapping", "Collection", "Iterable"),
    )


def _evaluated(annotation: Any, names: Mapping[str, Any]) -> Any:
    # The annotations of a tuple with names are wrapped.
    annotation = getattr(annotation, "__forward_arg__", annotation)
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, {}, names)
    except Exception:  # noqa: BLE001 - whatever it is, it is the plugin's own source, and may be for type checkers
        return UNKNOWN
