"""Somebody else's code, called so that whatever it raises becomes an error that says whose it is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import FusionError, PluginError

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint, EntryPoints

Places = tuple[tuple[str, int], ...]

# torch raises a plain RuntimeError where the CPU's memory, or that of an older backend, runs out.
_SAYS_SO = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate",
    "could not create a primitive",  # what oneDNN makes of it
)
_DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@contextmanager
def guarded(whose: str, *, but: type[Exception] | tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """While somebody else's code runs.

    What ends a program, such as `SystemExit`, ends no more than that code: a command must not end early as if all had
    gone well. Ctrl-C is the user's.

    Args:
        whose: How the line begins: "plugin 'x' of package 'y' can't be imported".
        but: What the caller waits for, and gets as it is.

    Raises:
        PluginError: The code raised anything but an error of fusionkit's own.
    """
    try:
        yield
    except (FusionError, KeyboardInterrupt):
        raise
    except but:
        raise
    except BaseException as error:
        raise PluginError(f"{whose}: {told(error)}") from error


def told(error: BaseException) -> str:
    """An exception in one line: `ValueError: no such thing`."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - somebody else's exception may fail to say what it is
        text = ""
    kind = type(error).__name__
    if isinstance(error, SystemExit):
        return f"{kind}: {text or 'no code'} (it tried to end the program)"
    return f"{kind}: {text or 'no message'}"


def entries_of(group: str) -> EntryPoints:
    """What the installed packages offer in an entry point group; nothing is imported."""
    found: EntryPoints = _entries(_places()).select(group=group)
    return found


def version_of(package: str) -> str:
    """A package's version.

    Raises:
        PackageNotFoundError: It is not installed.
    """
    return _version(package, _places())


def _places() -> Places:
    """Where packages are looked for, and when each of these folders has changed: until then nothing is read again."""
    found = []
    for path in sys.path:
        try:
            found.append((path, os.stat(path or ".").st_mtime_ns))
        except OSError:
            continue
    return tuple(found)


@lru_cache(maxsize=2)
def _entries(_: Places) -> Any:
    from importlib.metadata import entry_points

    return entry_points()  # of another type in Python 3.10 and 3.11, which can be asked alike


@lru_cache(maxsize=64)
def _version(package: str, _: Places) -> str:
    from importlib.metadata import version

    return version(package)


def package_of(entry: EntryPoint) -> str:
    """The distribution that offers something, for errors and lists."""
    return _name(entry.dist) if entry.dist is not None else entry.module


@lru_cache(maxsize=256)
def _name(package: Distribution) -> str:
    """Read once, since each time takes milliseconds."""
    return package.name


def offered_twice(entries: Iterable[EntryPoint]) -> str:
    """That several packages offer one name, naming them, as a sentence goes on; empty where one does."""
    found = list(entries)
    if len(found) < 2:
        return ""
    packages = sorted({package_of(each) for each in found})
    both = " and ".join(f"'{package}'" for package in packages)
    return f"is offered by the packages {both}; uninstall all but one of them" if len(packages) > 1 else ""


def owner_of(error: BaseException) -> str:
    """`, in 'somewhere.py' line 3 of package 'x'`, of the innermost place in a package that extends fusionkit.

    Empty where the error passed through none.
    """
    from traceback import walk_tb

    packages = _extensions()
    found = ""
    for frame, line in walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if (package := packages.get(module.partition(".")[0])) is not None:
            found = f", in '{Path(frame.f_code.co_filename).name}' line {line} of package '{package}'"
    return found


def _extensions() -> dict[str, str]:
    """The distributions that offer something, by their top modules; fusionkit itself left out."""
    groups = ("plugins", "commands", "schedulers", "metrics", "features", "baselines", "models", "controlnets")
    entries = (each for group in groups for each in entries_of(f"fusionkit.{group}"))
    return {
        top: entry.dist.name
        for entry in entries
        if entry.dist is not None and (top := entry.module.partition(".")[0]) != "fusionkit" and top in sys.modules
    }


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, says that memory ran out."""
    seen: BaseException | None = error
    while seen is not None:
        text = str(seen).lower()
        named = any(kind.__name__ in ("MemoryError", "OutOfMemoryError") for kind in type(seen).__mro__)
        if named or (isinstance(seen, RuntimeError) and any(words in text for words in _SAYS_SO)):
            return True
        seen = seen.__cause__
    return False


def printable(text: str) -> str:
    """A text without what would steer a terminal, turn its lines around, or can't be written: escapes instead."""
    return "".join(ascii(each)[1:-1] if _steers(each) else each for each in text)


def _steers(letter: str) -> bool:
    from unicodedata import category

    return letter not in "\n\t" and (category(letter) in ("Cc", "Cs") or letter in _DIRECTIONS)
