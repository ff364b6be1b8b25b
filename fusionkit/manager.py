"""One plugin manager for each run: registers the plugins in the recipe's order and says whose fault an error is."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from typing import Any

import pluggy

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
        from fusionkit.defaults import Defaults

        super().__init__(PROJECT)
        self.add_hookspecs(Hookspecs)
        self.plugins = list(plugins)
        self.register(Defaults(), name="defaults")
        for number, plugin in enumerate(self.plugins, 1):
            self._check_hooks(plugin)
            try:
                # One method may be listed twice with two settings: pluggy needs two names.
                self.register(plugin, name=f"{plugin.plugin_name}#{number}")
            except pluggy.PluginValidationError as error:
                raise PluginError(f"plugin '{plugin.plugin_name}': {_one_line(error)}") from error
        self.check_pending()
        self._check_replacements()

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """The hook options of an attribute; only functions of the class count, never pydantic's own attributes."""
        if not callable(getattr(type(plugin), name, None)) or name.startswith(("_", "model_")):
            return None
        return super().parse_hookimpl_opts(plugin, name)

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
        names = [plugin.plugin_name for plugin in self.plugins if callable(getattr(type(plugin), name, None))]
        return names or ["defaults"]

    def _check_hooks(self, plugin: Plugin) -> None:
        hooks = [name for name in dir(Hookspecs) if not name.startswith("_")]
        for name in dir(type(plugin)):
            if self.parse_hookimpl_opts(plugin, name) is not None and name not in hooks:
                hint = did_you_mean(name, hooks) or f"; the hooks are: {', '.join(hooks)}"
                raise PluginError(f"plugin '{plugin.plugin_name}' implements an unknown hook '{name}'{hint}")

    def _check_replacements(self) -> None:
        problems = []
        for name, caller in vars(self.hook).items():
            if not isinstance(caller, pluggy.HookCaller) or caller.spec is None or not caller.spec.opts["firstresult"]:
                continue
            replacing = [
                impl.plugin.plugin_name
                for impl in caller.get_hookimpls()
                if not (impl.wrapper or impl.hookwrapper) and isinstance(impl.plugin, Plugin)
            ]
            if len(replacing) > 1:
                both = " and ".join(f"'{plugin}'" for plugin in replacing)
                problems.append(f"plugins {both} both replace the hook '{name}'; use one of them")
        if problems:
            raise PluginError("\n".join(problems))

    def _culprit(self, name: str, error: BaseException) -> str | None:
        """The plugin in whose code, or below it, an error was raised: the innermost one on the traceback."""
        owners: dict[Any, str] = {}
        for impl in getattr(self.hook, name).get_hookimpls():
            function: Callable[..., Any] = impl.function
            code = getattr(getattr(function, "__func__", function), "__code__", None)
            if isinstance(impl.plugin, Plugin):
                owners[code] = impl.plugin.plugin_name
        frames = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
        return next((owners[code] for code in reversed(frames) if code in owners), None)


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
