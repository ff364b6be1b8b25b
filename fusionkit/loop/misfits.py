"""What of a plugin class does not fit the hooks, told before any of them is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from inspect import isasyncgenfunction, iscoroutinefunction, isfunction, isgeneratorfunction, signature
from typing import Any

import pluggy

from fusionkit.errors import did_you_mean
from fusionkit.loop.hookspecs import PROJECT, Hookspecs
from fusionkit.plugin import Plugin

# Of all hooks, the only one whose answer may be made line by line.
_MAY_YIELD = "check"


def misfits(kind: type[Plugin]) -> list[str]:
    """One line for each method of a plugin class that does not fit the hooks, in the plugin author's words."""
    hooks = {name: _arguments(function) for name, function in vars(Hookspecs).items() if name[0] != "_"}
    problems = []
    for name in dir(kind):
        marked = is_hookimpl(kind, name)
        if marked and name not in hooks:
            problems.append(f"implements an unknown hook '{name}'{hint(name, hooks)}")
        elif marked:
            problems += _of_arguments(kind, name, hooks[name])
            problems += _of_kind(getattr(kind, name), name)
        elif name in hooks:
            problems.append(f"defines '{name}' without @hookimpl, so that it would do nothing")
    return [f"plugin '{kind.plugin_name}' {problem}" for problem in problems]


def replaced_twice(hooks: Any) -> list[str]:
    """One line for each hook whose answer two plugins replace."""
    problems = []
    for name, caller in vars(hooks).items():
        if not isinstance(caller, pluggy.HookCaller) or caller.spec is None or not caller.spec.opts["firstresult"]:
            continue
        replacing = [
            f"'{impl.plugin.plugin_name}'"
            for impl in caller.get_hookimpls()
            if isinstance(impl.plugin, Plugin) and not impl.wrapper
        ]
        if len(replacing) > 1:
            problems.append(f"plugins {' and '.join(replacing)} both replace the hook '{name}'; use one of them")
    return problems


def replaced_by(kind: type[Plugin]) -> frozenset[str]:
    """The hooks whose one answer a plugin class replaces."""
    found = set()
    for name, function in vars(Hookspecs).items():
        firstresult = (getattr(function, f"{PROJECT}_spec", None) or {}).get("firstresult")
        if firstresult and is_hookimpl(kind, name) and not getattr(getattr(kind, name), f"{PROJECT}_impl")["wrapper"]:
            found.add(name)
    return frozenset(found)


def clash(kind: type[Plugin], others: Iterable[Plugin]) -> bool:
    """Whether a plugin class replaces a hook that one of some plugins replaces."""
    return any(replaced_by(kind) & replaced_by(type(other)) for other in others)


def is_hookimpl(kind: type, name: str) -> bool:
    """Whether a class marks one of its own functions with `@hookimpl`; pydantic's attributes are not even looked at."""
    if name.startswith(("_", "model_")):
        return False
    function = getattr(kind, name, None)
    return isfunction(function) and hasattr(function, f"{PROJECT}_impl")


def hint(word: str, known: Iterable[str]) -> str:
    """A near miss, or else everything there is."""
    return did_you_mean(word, known) or f"; there are: {', '.join(known)}"


@lru_cache(maxsize=256)
def _arguments(function: Callable[..., Any]) -> list[str]:
    """Without the first, which is the object."""
    return list(signature(function).parameters)[1:]


def _of_arguments(kind: type[Plugin], name: str, known: list[str]) -> list[str]:
    given = _arguments(getattr(kind, name))
    return [
        f"takes '{argument}' in hook '{name}', which has no such argument{hint(argument, known)}"
        for argument in given
        if argument not in known
    ]


def _of_kind(function: Any, name: str) -> Iterator[str]:
    """Whether a hook's function yields exactly where it is marked as a wrapper."""
    options = getattr(function, f"{PROJECT}_impl")
    if options["hookwrapper"]:
        yield f"marks hook '{name}' with hookwrapper=True; use @hookimpl(wrapper=True)"
    elif iscoroutinefunction(function) or isasyncgenfunction(function):
        yield f"defines hook '{name}' with 'async'; hooks are plain functions"
    elif options["wrapper"] and not isgeneratorfunction(function):
        yield f"never yields in hook '{name}'; a wrapper yields once, for the answer of the others, and returns its own"
    elif not options["wrapper"] and isgeneratorfunction(function) and name != _MAY_YIELD:
        yield f"yields in hook '{name}'; mark it with @hookimpl(wrapper=True), or return the answer"
