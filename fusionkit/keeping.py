"""What a plugin keeps from one hook to another: declared with its type and with how long it lasts.

Only what is declared is written to a checkpoint, so that a run that was ended goes on as if it had not been. Importing
this needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, overload

from fusionkit.errors import PluginError

T = TypeVar("T")
K = TypeVar("K", bound="Kept[Any]")

Shelf = dict[tuple[Any, str], Any]
"""What plugins keep: by the plugin, as an object, and the name of the declaration."""

Scope = Literal["memory", "state", "cache"]


class Keeps(Protocol):
    """What a plugin's declarations look into: a stage."""

    memory: Shelf
    state: Shelf
    cache: Shelf


class Kept(Generic[T]):
    """A declaration in a plugin's class; see its three kinds. Each plugin object keeps a value of its own.

    Args:
        kind: The type of what is kept: a tensor, a number, a text, a dataclass, a pydantic model, a tuple with names,
            or lists, tuples and mappings of those.
        make: Makes a first value; by default `kind` does, without arguments.
        parts: Dataclasses and pydantic models that are somewhere in it and that its annotations do not tell, because
            they are imported for type checkers alone.
    """

    scope: ClassVar[Scope]

    def __init__(self, kind: type[T], make: Callable[[], T] | None = None, *, parts: tuple[type, ...] = ()) -> None:
        self.kind = kind
        self.make = make or kind
        self.parts = parts
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self: K, plugin: None, owner: type) -> K: ...

    @overload
    def __get__(self, plugin: object, owner: type) -> Place[T]: ...

    def __get__(self: K, plugin: object | None, owner: type) -> K | Place[Any]:
        """The declaration itself, of the class; of an object the place where its value is."""
        return self if plugin is None else Place(self, plugin)


class RunMemory(Kept[T]):
    """Kept until the run ends, also for later stages; written to checkpoints."""

    scope = "memory"


class StageState(Kept[T]):
    """Kept until the stage ends, or after the last stage until `maps` was asked; written to checkpoints."""

    scope = "state"


class StageCache(Kept[T]):
    """Kept until the stage ends, and never written: what the stage's own inputs always give again, bit for bit."""

    scope = "cache"


class Place(Generic[T]):
    """Where one plugin keeps one value, of each run or stage."""

    def __init__(self, declared: Kept[T], plugin: object) -> None:
        self._declared = declared
        self._plugin = plugin

    def __call__(self, stage: Keeps) -> T:
        """What is kept; the first time a new value, which is kept from now on.

        Raises:
            PluginError: Nothing is kept, and the declaration does not say what a first value is.
        """
        shelf = self._shelf(stage)
        if self._key not in shelf:
            try:
                shelf[self._key] = self._declared.make()
            except TypeError as error:
                raise PluginError(
                    f"plugin '{getattr(self._plugin, 'plugin_name', '')}' asks for '{self._declared.name}' before it "
                    f"has set it ({error})"
                ) from error
        value: T = shelf[self._key]
        return value

    def get(self, stage: Keeps) -> T | None:
        """What is kept; None where nothing is."""
        return self._shelf(stage).get(self._key)

    def set(self, stage: Keeps, value: T) -> T:
        """Keep a value in place of what is kept, and answer it."""
        self._shelf(stage)[self._key] = value
        return value

    def forget(self, stage: Keeps) -> None:
        """Keep nothing, to save memory before the time."""
        self._shelf(stage).pop(self._key, None)

    @property
    def _key(self) -> tuple[Any, str]:
        return self._plugin, self._declared.name

    def _shelf(self, stage: Keeps) -> Shelf:
        shelf: Shelf = getattr(stage, self._declared.scope)
        return shelf


def declared(plugin: type) -> Iterator[Kept[Any]]:
    """The declarations of a plugin's class and of its bases, each name once."""
    names = dict.fromkeys(name for kind in plugin.__mro__ for name in vars(kind))
    for name in names:
        found = next((vars(kind)[name] for kind in plugin.__mro__ if name in vars(kind)), None)
        if isinstance(found, Kept):
            yield found
