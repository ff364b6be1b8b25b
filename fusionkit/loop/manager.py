"""One plugin manager for each run: registers the plugins in the recipe's order and says whose fault an error is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pluggy

from fusionkit.errors import Cancelled, FusionError, NumericalError, PluginError
from fusionkit.loop.defaults import Defaults
from fusionkit.loop.finite import place
from fusionkit.loop.guard import PICTURES, Guard
from fusionkit.loop.hookspecs import PROJECT, Hookspecs
from fusionkit.loop.misfits import is_hookimpl, misfits, replaced_twice
from fusionkit.loop.stage import Stage
from fusionkit.loop.wrong import Call, WrongAnswer, check_tensor
from fusionkit.plugin import Plugin


class Manager(pluggy.PluginManager):
    """The hooks of one run.

    The recipe's order is the order of application: of two wrappers around one hook, the first in the recipe changes
    the answer first. Defaults are registered before everything else.

    Args:
        plugins: The recipe's plugins, top to bottom.

    Raises:
        PluginError: A hook is misspelt, takes an unknown argument or is no function that fits, or two plugins replace
            one hook.
    """

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        super().__init__(PROJECT)
        self.add_hookspecs(Hookspecs)
        self.plugins = list(plugins)
        self.where = ""
        self._calls: list[Call] = []
        if problems := [line for kind in dict.fromkeys(map(type, self.plugins)) for line in misfits(kind)]:
            raise PluginError("\n".join(problems))
        self.register(Defaults(), name="defaults")
        for number, plugin in enumerate(self.plugins, 1):
            # One method may be listed twice with two settings: pluggy needs two names.
            self.register(plugin, name=f"{plugin.plugin_name}#{number}")
        self.check_pending()
        if problems := replaced_twice(self.hook):
            raise PluginError("\n".join(problems))
        self._guard()

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
            PluginError: An implementation raised, or its answer does not fit; names the plugin.
            NumericalError: It failed, and what it was given is NaN or infinite.
        """
        call = Call(name, arguments)
        stage = call.stage
        if name in PICTURES:
            if any(asked.hook == name for asked in self._calls):
                raise RuntimeError(f"stage.{name} asks hook '{name}' from within; use stage.model.{name} there")
        elif stage is not None and stage.model is not None:
            self.where = place(stage, arguments.get("at"))
        self._calls.append(call)
        try:
            answer = getattr(self.hook, name)(**arguments)
        except Cancelled:
            raise
        except Exception as error:
            if stage is not None and name not in PICTURES:
                self._earlier(stage, error)
            raise
        finally:
            self._calls.pop()
        if shape is not None:
            self.fits(name, answer, shape, arguments["stage"])
        return answer

    def _earlier(self, stage: Stage, error: Exception) -> None:
        """Where numbers were lost before an error, that is the cause, and the error its consequence."""
        try:
            stage.facts.wait(self.where)
        except FusionError as earlier:
            raise earlier from error
        if isinstance(error, NumericalError):
            raise NumericalError(f"{self.where}: {error}" if self.where else str(error)) from error

    def fits(self, name: str, answer: Any, shape: tuple[int, ...], stage: Stage) -> None:
        """Check an answer's shape, type and device.

        Raises:
            PluginError: They are not as asked for; names the hook and the plugins that answered.
        """
        try:
            check_tensor(answer, shape, stage.dtype, stage.device)
        except WrongAnswer as wrong:
            raise PluginError(f"hook '{name}' answered {wrong} (asked: {', '.join(self.asked(name))})") from None

    def asked(self, name: str) -> list[str]:
        """The names of the plugins that implement a hook, in the recipe's order, the defaults only if alone."""
        names = [plugin.plugin_name for plugin in self.plugins if is_hookimpl(type(plugin), name)]
        return names or ["defaults"]

    def _guard(self) -> None:
        """Let every implementation be called through a guard, which knows what is asked."""
        guard = Guard(lambda: self._calls[-1] if self._calls else None)
        for name, caller in vars(self.hook).items():
            if not isinstance(caller, pluggy.HookCaller):
                continue
            gathers = caller.spec is not None and not caller.spec.opts["firstresult"]
            for implementation in caller.get_hookimpls():
                own = not isinstance(implementation.plugin, Plugin)
                guarded = guard.own(name, implementation) if own else guard.plugins(name, implementation, gathers)
                # pluggy calls what stands here; it read the names of the arguments when the plugin was registered.
                implementation.function = guarded  # type: ignore[misc]
