"""Stands around each plugin's implementation of a hook: says whose fault an error, an answer or a NaN is."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from inspect import isgenerator
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from fusionkit.errors import Cancelled, FusionError, PluginError, RecipeError, UnfinishedError
from fusionkit.foreign import out_of_memory
from fusionkit.loop.answers import check_answer, check_gathered
from fusionkit.loop.finite import check_finite, note_finite
from fusionkit.loop.given import Inputs
from fusionkit.loop.origin import marked
from fusionkit.loop.partly import Owed
from fusionkit.loop.stage import Fused, Stage
from fusionkit.loop.wrong import Call, WrongAnswer

if TYPE_CHECKING:
    import pluggy
    from torch import Tensor

# What the loop's own answers are called where their numbers are not finite, and what to change.
_OWN = {
    "init_noise": ("the noise of the canvas", "try another seed"),
    "init_latents": ("the canvas to start from", "use another scheduler, or other options of it"),
    "fuse": ("the mean of the views' predictions", "leave out the plugins that change views and predictions"),
    "step": ("the scheduler's step", "use another scheduler, or other options of it"),
}
# Of models, their adapters tell themselves; views are asked beforehand, and their numbers are looked at then.
_TENSORS = (*_OWN, "noise_prediction")
_LEAVE = "change the options of '{}', or leave it out"
# Asked with numbers that were looked at: what a model says of them is for the plugin that gave it others.
PICTURES = ("encode", "decode")


class Guard:
    """Makes the functions that pluggy calls in place of a hook's implementations.

    Args:
        asked: The question that is asked at the moment.
    """

    def __init__(self, asked: Callable[[], Call | None]) -> None:
        self._asked = asked

    def own(self, hook: str, implementation: pluggy.HookImpl) -> Callable[..., Any]:
        """The loop's own answer, whose numbers are looked at."""
        function = implementation.function

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = function(*args, **kwargs)
            asked = self._asked()
            if asked is not None and hook in _OWN:
                _note(asked.stage, answer, *_OWN[hook])
            return marked(hook, answer, implementation.plugin)

        return call

    def plugins(self, hook: str, implementation: pluggy.HookImpl, gathers: bool) -> Callable[..., Any]:
        """A plugin's implementation: what it raises, answers and changes is told with its name.

        Args:
            hook: The hook.
            implementation: A plain one, or a wrapper.
            gathers: Whether the hook gathers the answers of all plugins.
        """
        name = str(getattr(implementation.plugin, "plugin_name", implementation.plugin_name))
        whose = _Whose(name, hook, gathers and bool(implementation.wrapper))
        function, names = implementation.function, implementation.argnames

        def call(*args: Any, **kwargs: Any) -> Any:
            asked = self._asked()
            given = _Given(whose, asked, dict(zip(names, args, strict=False)))
            try:
                answer = function(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - SystemExit, too, is no success
                whose.blame(error, asked)
            return marked(hook, given.done(answer), implementation.plugin)

        def wrap(*args: Any, **kwargs: Any) -> Generator[None, Any, Any]:
            asked = self._asked()
            given = _Given(whose, asked, dict(zip(names, args, strict=False)))
            generator = function(*args, **kwargs)
            if not isgenerator(generator):
                raise whose.wrong("never yields; a wrapper yields once, for the answer of the others")
            try:
                next(generator)
            except StopIteration:
                raise whose.wrong("never yields; a wrapper yields once, for the answer of the others") from None
            except BaseException as error:  # noqa: BLE001 - as above
                whose.blame(error, asked)
            # The others are asked with the same numbers, and would be blamed.
            given.unchanged(only_numbers=True)
            given.lends()
            try:
                inner = yield
            except BaseException as error:  # noqa: BLE001 - the wrapper decides
                answer = whose.resume(generator, generator.throw, error, asked)
                inner = None
            else:
                given.inner(inner)
                answer = whose.resume(generator, generator.send, inner, asked)
            return marked(hook, given.done(answer, inner), implementation.plugin)

        return wrap if implementation.wrapper else call


class _Whose:
    """A plugin in a hook."""

    def __init__(self, plugin: str, hook: str, gathered: bool) -> None:
        self.plugin, self.hook, self.gathered = plugin, hook, gathered

    def wrong(self, what: str) -> PluginError:
        return PluginError(f"plugin '{self.plugin}' in hook '{self.hook}' {what}")

    def blame(self, error: BaseException, asked: Call | None) -> None:
        """Raise the error as it is where it is nobody's fault or says enough, and else with the plugin's name."""
        running = asked is not None and asked.stage is not None and asked.stage.model is not None
        if isinstance(error, FusionError):
            if (named := self._named(error)) is error:
                raise error
            raise named from error
        # Of maps nobody is told, since the picture is safe by then.
        short = running and self.hook != "maps" and out_of_memory(error)
        if isinstance(error, KeyboardInterrupt) or short:
            raise error
        text = " ".join(str(error).split())
        raise PluginError(
            f"plugin '{self.plugin}' failed in hook '{self.hook}': {type(error).__name__}: {text}"
        ) from error

    def _named(self, error: FusionError) -> FusionError:
        """An error of fusionkit's own with the plugin's name, where the plugin raised it and does not name itself."""
        given_others = self.hook in PICTURES and not isinstance(error, PluginError)
        own = given_others or _raised_by_a_plugin(error)
        named = re.search(rf"(?<![\w-]){re.escape(self.plugin)}(?![\w-])", str(error))
        if isinstance(error, Cancelled) or named or not own:
            return error
        whose = f"plugin '{self.plugin}' in hook '{self.hook}' says: "
        if isinstance(error, RecipeError):
            return RecipeError(f"{whose}{' '.join(each.split())}" for each in error.problems)
        kind = type(error) if isinstance(error, UnfinishedError) else PluginError
        return kind(f"{whose}{' '.join(str(error).split())}")

    def resume(self, generator: Any, step: Callable[[Any], Any], value: Any, asked: Call | None) -> Any:
        """What a wrapper answers, once it knows the others' answer or error."""
        try:
            step(value)
        except StopIteration as stop:
            return stop.value
        except BaseException as error:
            if error is value:
                # It passed through: somebody inside has been named for it, or nobody is to blame.
                raise
            self.blame(error, asked)
        generator.close()
        raise self.wrong("yields twice; a wrapper yields once, for the answer of the others")


class _Given:
    """What a plugin was given in one question, and what it makes of it."""

    def __init__(self, whose: _Whose, asked: Call | None, given: Mapping[str, Any]) -> None:
        self._whose, self._asked = whose, asked
        parts = {f"argument '{name}'": value for name, value in given.items() if name in _CHANGEABLE}
        self._kept = [Inputs(parts)] if parts else []
        self._owed = Owed(asked.given["patches"]) if asked is not None and whose.hook == "noise_prediction" else None

    def lends(self) -> None:
        """Remember what a wrapper asks of the others, where it may ask for less than it was asked for."""
        if self._owed is not None:
            self._owed.lends()

    def inner(self, answer: Any) -> None:
        """Keep what the others answered, where they may answer the same object again."""
        if self._whose.hook == "views":
            self._kept.append(Inputs({"answer of the plugin before it": answer}))

    def done(self, answer: Any, inner: Any = None) -> Any:
        """The answer, checked."""
        whose, asked = self._whose, self._asked
        self.unchanged()
        if asked is None:
            return answer
        try:
            answer = (check_gathered if whose.gathered else check_answer)(asked, answer)
        except WrongAnswer as wrong:
            raise PluginError(f"hook '{whose.hook}' answered {wrong} (asked: {whose.plugin})") from None
        except BaseException as error:  # noqa: BLE001 - as above
            # Lines that are made one by one are made here.
            whose.blame(error, asked)
        owed = answer if self._owed is None else self._partly(answer, self._owed)
        if whose.hook == "encode":
            # Computed once: looked at once, as what a model itself encodes.
            check_finite(answer, f"the answer of plugin '{whose.plugin}' in hook 'encode'", _LEAVE.format(whose.plugin))
        elif whose.hook in _TENSORS and answer is not inner:
            name = f"the answer of plugin '{whose.plugin}' in hook '{whose.hook}'"
            _note(asked.stage, owed, name, _LEAVE.format(whose.plugin))
        return answer

    def _partly(self, answer: Any, owed: Owed) -> Any:
        """Of a prediction, the views that were asked for; what the plugin itself left out must be filled."""
        if owed.wrong:
            raise self._whose.wrong(owed.wrong)
        stage = None if self._asked is None else self._asked.stage
        if stage is not None and stage.model is not None:
            owed.note(stage, answer)
        return owed.rows(answer)

    def unchanged(self, only_numbers: bool = False) -> None:
        """See whether what was given is as it was, or only its numbers: a wrapper may lend the others parts of it."""
        for kept in self._kept:
            for same, what in kept.numbers() if only_numbers else kept.changes():
                self._unchanged(same, what)

    def _unchanged(self, same: Tensor | bool, what: str) -> None:
        wrong = self._whose.wrong(f"changed {what}")
        stage = None if self._asked is None else self._asked.stage
        if isinstance(same, bool):
            if not same:
                raise wrong
        elif stage is None or stage.model is None or same.device.type == "cpu":
            if not bool(same):
                raise wrong
        else:
            stage.facts.note(same, lambda _: wrong)


def _raised_by_a_plugin(error: FusionError) -> bool:
    """Whether the code that raised an error is none of fusionkit's own, whose errors say enough."""
    module = "fusionkit"
    for frame, _ in walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] != "fusionkit"


# Arguments that the loop, or another plugin, goes on using.
_CHANGEABLE = ("latents", "noise", "patches", "groups", "fused")


def _note(stage: Stage | None, answer: Any, whose: str, instead: str) -> None:
    """Remember whether the numbers of an answer are finite; while a run is planned there are none that matter."""
    if stage is None or stage.model is None:
        return
    fused = isinstance(answer, Fused)
    for part, tensor in [("", answer.prediction), (": its noise", answer.noise)] if fused else [("", answer)]:
        if tensor is not None:
            note_finite(stage, tensor, f"{whose}{part}", instead)
