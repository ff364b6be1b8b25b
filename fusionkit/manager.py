"""One plugin manager for each run: registers the plugins in the recipe's order and says whose fault an error is."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from inspect import isfunction, signature
from typing import Any

import pluggy

from fusionkit.defaults import Defaults
from fusionkit.errors import FusionError, PluginError, did_you_mean
from fusionkit.hookspecs import PROJECT, Hookspecs
from fusionkit.plugin import Plugin


class Manager(pluggy.PluginManager):
    """The hooks of one run.

    The recipe's order is the order of application: of two wrappers around one hook, the first in the recipe changes
    the answer first. Defaults are registered before everything else.

    Args:
        plugins: The recipe's plugins, top to bottom.

    Raises:
        PluginError: A hook is misspelt or takes an unknown argument, or two plugins replace one hook.
    """

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        super().__init__(PROJECT)
        self.add_hookspecs(Hookspecs)
        self.plugins = list(plugins)
        if problems := [line for kind in dict.fromkeys(map(type, self.plugins)) for line in self._misfits(kind)]:
            raise PluginError("\n".join(problems))
        self.register(Defaults(), name="defaults")
        for number, plugin in enumerate(self.plugins, 1):
            # One method may be listed twice with two settings: pluggy needs two names.
            self.register(plugin, name=f"{plugin.plugin_name}#{number}")
        self.check_pending()
        if problems := self._replaced_twice():
            raise PluginError("\n".join(problems))

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """The hook options of an attribute; only functions of the class count, never pydantic's own attributes."""
        return super().parse_hookimpl_opts(plugin, name) if is_hookimpl(type(plugin), name) else None

    def ask(self, name: str, *, shape: tuple[int, ...] | None = None, **arguments: Any) -> Any:
        """Call one hook.

        Args:
            name: The hook.
            shape: The shape that the answer, a tensor, must have; its type and device must be the stage's.
            arguments: As the hook's specification says.

        Raises:
            PluginError: An implementation raised, or the answer is missing or does not fit; names the plugin.
        """
        try:
            answer = getattr(self.hook, name)(**arguments)
        except (FusionError, KeyboardInterrupt):
            raise
        except Exception as error:
            culprit = self._culprit(name, error)
            if culprit is None:
                raise
            raise PluginError(f"plugin '{culprit}' failed in hook '{name}': {_one_line(error)}") from error
        if shape is not None:
            self.fits(name, answer, shape, arguments["stage"])
        return answer

    def fits(self, name: str, answer: Any, shape: tuple[int, ...], stage: Any) -> None:
        """Check an answer's shape, type and device.

        Raises:
            PluginError: They are not as asked for; names the hook and the plugins that answered.
        """
        import torch

        if not isinstance(answer, torch.Tensor):
            got = type(answer).__name__
        elif tuple(answer.shape) != tuple(shape) or answer.dtype != stage.dtype or answer.device != stage.device:
            got = f"{tuple(answer.shape)} {answer.dtype} on {answer.device}"
        else:
            return
        raise PluginError(
            f"hook '{name}' answered {got}; expected {tuple(shape)} {stage.dtype} on {stage.device} "
            f"(asked: {', '.join(self.asked(name))})"
        )

    def asked(self, name: str) -> list[str]:
        """The names of the plugins that implement a hook, in the recipe's order, the defaults only if alone."""
        names = [plugin.plugin_name for plugin in self.plugins if is_hookimpl(type(plugin), name)]
        return names or ["defaults"]

    def _misfits(self, kind: type[Plugin]) -> list[str]:
        """One line for each method of a plugin class that does not fit the hooks, in the plugin author's words."""
        hooks = {
            name: list(signature(function).parameters)[1:]
            for name, function in vars(Hookspecs).items()
            if name[0] != "_"
        }
        problems = []
        for name in dir(kind):
            marked = is_hookimpl(kind, name)
            if marked and name not in hooks:
                problems.append(f"implements an unknown hook '{name}'{hint(name, hooks)}")
            elif marked:
                given = list(signature(getattr(kind, name)).parameters)[1:]
                problems += [
                    f"takes '{argument}' in hook '{name}', which has no such argument{hint(argument, hooks[name])}"
                    for argument in given
                    if argument not in hooks[name]
                ]
            elif name in hooks:
                problems.append(f"defines '{name}' without @hookimpl, so that it would do nothing")
        return [f"plugin '{kind.plugin_name}' {problem}" for problem in problems]

    def _replaced_twice(self) -> list[str]:
        """One line for each hook whose answer two plugins replace."""
        problems = []
        for name, caller in vars(self.hook).items():
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

    def _culprit(self, name: str, error: BaseException) -> str | None:
        """The plugin in whose code, or below it, an error was raised: the innermost one on the traceback.

        None where that is the loop's own answer: the wrappers around it are on the traceback, too, and not to blame.
        """
        owners: dict[Any, str | None] = {}
        for impl in getattr(self.hook, name).get_hookimpls():
            function: Callable[..., Any] = impl.function
            code = getattr(getattr(function, "__func__", function), "__code__", None)
            owners[code] = impl.plugin.plugin_name if isinstance(impl.plugin, Plugin) else None
        frames = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
        return next((owners[code] for code in reversed(frames) if code in owners), None)


def is_hookimpl(kind: type, name: str) -> bool:
    """Whether a class marks one of its own functions with `@hookimpl`; pydantic's attributes are not even looked at."""
    if name.startswith(("_", "model_")):
        return False
    function = getattr(kind, name, None)
    return isfunction(function) and hasattr(function, f"{PROJECT}_impl")


def hint(word: str, known: Iterable[str]) -> str:
    """A near miss, or else everything there is."""
    return did_you_mean(word, known) or f"; there are: {', '.join(known)}"


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
