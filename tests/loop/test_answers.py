"""Every hook, and every kind of wrong answer to it: one line that names hook, plugin, what came, what is expected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image
from torch import Tensor
from wrong_answers import GATHERS, OBSERVES, SIZE, WHOLE, WRONG, group

from fusionkit import (
    CanvasError,
    Fused,
    Fusion,
    FusionError,
    Patches,
    Plugin,
    PluginError,
    RecipeError,
    Stage,
    Step,
    View,
    hookimpl,
)
from fusionkit.loop.hookspecs import Hookspecs
from fusionkit.testing import tiny_pipeline, tiny_run

CASES = [(hook, name) for hook, cases in WRONG.items() for name in cases]


def answering(hook: str, make: Callable[[], Any], *, wrapper: bool) -> Plugin:
    """A plugin that answers one hook, as a replacement or as a wrapper around the others."""

    def replaces(self: Any) -> Any:
        return make()

    def wraps(self: Any) -> Generator[None, Any, Any]:
        yield
        return make()

    return type(
        "Odd", (Plugin,), {hook: hookimpl(wraps, wrapper=True) if wrapper else hookimpl(replaces)}, name="odd"
    )()


class Encodes(Plugin):
    """Asks for what a run without a starting picture does not ask for."""

    @hookimpl
    def stage_done(self, stage: Stage) -> None:
        stage.encode(Image.new("RGB", SIZE))
        assert stage.masked


class Again(Plugin):
    """Takes each step twice, without which nothing is noised back."""

    @hookimpl
    def rounds(self) -> int:
        return 2


def run(*plugins: Plugin) -> Any:
    again = [Again()] if any(hasattr(plugin, "noised_back") for plugin in plugins) else []
    fusion = Fusion.from_pipe(tiny_pipeline(), plugins=[*plugins, *again, Encodes()])
    # Whether a canvas is one picture is asked where it is larger than a window.
    large = any(hasattr(plugin, "keeps_composition") for plugin in plugins)
    options: dict[str, Any] = {
        "size": (80, 160) if large else SIZE,
        "steps": 2,
        "scheduler": "ddpm",
        "guidance_scale": 4.0,
        "progress": False,
    }
    if any(hasattr(plugin, "default_size") for plugin in plugins):
        del options["size"]
    return fusion("a hill", maps=True, **options).maps


def refused(*plugins: Plugin) -> str:
    with pytest.raises(FusionError) as error:
        run(*plugins)
    line = str(error.value)
    assert len(line.splitlines()) == 1
    assert len(line) < 400
    return line


def test_every_hook_has_its_wrong_answers() -> None:
    assert list(WRONG) == [name for name in vars(Hookspecs) if name[0] != "_"]


@pytest.mark.parametrize("wrapper", [False, True], ids=["replaces", "wraps"])
@pytest.mark.parametrize(("hook", "name"), CASES, ids=[f"{hook}: {name}" for hook, name in CASES])
def test_a_wrong_answer_names_hook_plugin_and_what_is_expected(hook: str, name: str, wrapper: bool) -> None:
    make = WRONG[hook][name]
    if wrapper and hook in (*GATHERS, *OBSERVES):
        given, make = make, lambda: [given()]
    line = refused(answering(hook, make, wrapper=wrapper))
    assert line.startswith(f"hook '{hook}' answered ")
    assert "; expected " in line
    assert line.endswith("(asked: odd)")


@pytest.mark.parametrize("hook", [hook for hook in WRONG if hook not in (*GATHERS, *OBSERVES)])
@pytest.mark.parametrize("wrapper", [False, True], ids=["replaces", "wraps"])
def test_a_forgotten_answer_is_named(hook: str, wrapper: bool) -> None:
    line = refused(answering(hook, lambda: None, wrapper=wrapper))
    assert line.startswith(f"hook '{hook}' answered None; expected ")


@pytest.mark.parametrize("hook", GATHERS)
def test_a_wrapper_that_forgets_all_answers_is_named(hook: str) -> None:
    assert refused(answering(hook, lambda: None, wrapper=True)) == (
        f"hook '{hook}' answered None; expected a list of the answers of all plugins, as 'yield' gives it (asked: odd)"
    )


def test_the_plugin_that_answered_is_named_and_not_those_around_it() -> None:
    class Innocent(Plugin):
        @hookimpl(wrapper=True)
        def fuse(self) -> Generator[None, Fused, Fused]:
            return (yield)

    odd = answering("fuse", lambda: 3, wrapper=True)
    for plugins in ([odd, Innocent()], [Innocent(), odd]):
        assert refused(*plugins) == "hook 'fuse' answered int; expected a Fused (asked: odd)"


def test_a_check_may_answer_lines_one_by_one_or_nothing() -> None:
    class Fine(Plugin):
        @hookimpl
        def check(self) -> None:
            return None

    class OneByOne(Plugin):
        lines: Any

        @hookimpl
        def check(self) -> Generator[str, None, None]:
            yield from self.lines

    run(Fine(), OneByOne(lines=[]))
    with pytest.raises(RecipeError) as error:
        run(OneByOne(lines=["a:\nno", "b"]))
    assert error.value.problems == ["a: no", "b"]
    assert refused(OneByOne(lines=(1 / 0 for _ in range(1)))) == (
        "plugin 'one-by-one' failed in hook 'check': ZeroDivisionError: division by zero"
    )


def method(hook: str, function: Any, **options: Any) -> Plugin:
    return type("Odd", (Plugin,), {hook: hookimpl(function, **options)}, name="odd")()


def never(self: Any) -> Any:
    return 3


def sometimes(self: Any) -> Generator[None, Any, Any]:
    if self is None:
        yield
    return 3


def twice(self: Any) -> Generator[None, Any, Any]:
    answer = yield
    yield
    return answer


async def later(self: Any) -> Any:
    await asyncio.sleep(0)


def old(self: Any) -> Generator[None, Any, None]:
    yield


@pytest.mark.parametrize("hook", WRONG)
def test_wrappers_that_do_not_yield_once_and_functions_of_another_kind_are_named(hook: str) -> None:
    once = "; a wrapper yields once, for the answer of the others"
    assert refused(method(hook, never, wrapper=True)) == (
        f"plugin 'odd' never yields in hook '{hook}'{once}, and returns its own"
    )
    assert refused(method(hook, sometimes, wrapper=True)) == f"plugin 'odd' in hook '{hook}' never yields{once}"
    assert refused(method(hook, twice, wrapper=True)) == f"plugin 'odd' in hook '{hook}' yields twice{once}"
    assert refused(method(hook, later)) == f"plugin 'odd' defines hook '{hook}' with 'async'; hooks are plain functions"
    assert refused(method(hook, old, hookwrapper=True)) == (
        f"plugin 'odd' marks hook '{hook}' with hookwrapper=True; use @hookimpl(wrapper=True)"
    )
    if hook != "check":
        assert refused(method(hook, twice)) == (
            f"plugin 'odd' yields in hook '{hook}'; mark it with @hookimpl(wrapper=True), or return the answer"
        )


@pytest.mark.parametrize("wrapper", [False, True], ids=["replaces", "wraps"])
@pytest.mark.parametrize("hook", WRONG)
def test_whatever_ends_the_process_is_the_plugins_failure(hook: str, wrapper: bool) -> None:
    for error in (SystemExit(0), GeneratorExit(), asyncio.CancelledError()):

        def fails(error: BaseException = error) -> Any:
            raise error

        line = refused(answering(hook, fails, wrapper=wrapper))
        assert line.startswith(f"plugin 'odd' failed in hook '{hook}': {type(error).__name__}:")


class Changes(Plugin):
    """Writes into what it was given, in one hook."""

    hook: str
    into: Any

    @hookimpl(wrapper=True)
    def init_latents(self, noise: Tensor) -> Generator[None, Tensor, Tensor]:
        self.changed("init_latents", noise)
        return (yield)

    @hookimpl(wrapper=True)
    def prompt_per_patch(self, patches: Patches) -> Generator[None, Any, Any]:
        self.changed("prompt_per_patch", patches)
        return (yield)

    @hookimpl(wrapper=True)
    def fuse(self, groups: Sequence[Patches]) -> Generator[None, Fused, Fused]:
        fused = yield
        self.changed("fuse", groups[0])
        return fused

    @hookimpl(wrapper=True)
    def step(self, latents: Tensor, fused: Fused) -> Generator[None, Tensor, Tensor]:
        following = yield
        self.changed("step", fused)
        return following

    @hookimpl
    def step_done(self, latents: Tensor) -> None:
        self.changed("step_done", latents)

    @hookimpl
    def stage_done(self, latents: Tensor) -> None:
        self.changed("stage_done", latents)

    def changed(self, hook: str, value: Any) -> None:
        if hook == self.hook:
            self.into(value)


def views_of(patches: Patches) -> None:
    patches.views = patches.views[::-1]


@pytest.mark.parametrize(
    ("hook", "into", "what"),
    [
        ("init_latents", lambda noise: noise.mul_(0.5), "argument 'noise' in place; make a new tensor"),
        ("prompt_per_patch", lambda p: p.latents.zero_(), "argument 'patches'.latents in place; make a new tensor"),
        ("prompt_per_patch", views_of, "argument 'patches'[0].views; answer a copy from dataclasses.replace"),
        ("fuse", lambda p: p.prediction.add_(1), "argument 'groups'[0].prediction in place; make a new tensor"),
        ("fuse", views_of, "argument 'groups'[0].views; answer a copy from dataclasses.replace"),
        ("step", lambda f: f.prediction.neg_(), "argument 'fused'.prediction in place; make a new tensor"),
        ("step_done", lambda latents: latents.clamp_(0, 1), "argument 'latents' in place; make a new tensor"),
        ("step_done", lambda latents: latents.fill_(float("nan")), "argument 'latents' in place; make a new tensor"),
        ("stage_done", lambda latents: latents.resize_(1), "argument 'latents' in place; make a new tensor"),
    ],
)
def test_what_a_hook_was_given_is_not_its_own(hook: str, into: Any, what: str) -> None:
    with pytest.raises(PluginError) as error:
        tiny_run([Changes(hook=hook, into=into)])
    assert str(error.value) == f"plugin 'changes' in hook '{hook}' changed the {what}"


def test_views_of_another_plugin_are_not_changed_in_place() -> None:
    class Keeps(Plugin):
        groups: Any

        @hookimpl
        def views(self) -> Any:
            return self.groups

    class Halves(Plugin):
        @hookimpl(wrapper=True)
        def views(self) -> Generator[None, Any, Any]:
            groups = yield
            groups[0].share *= 0.5
            return groups

    assert refused(Keeps(groups=group()), Halves()) == (
        "plugin 'halves' in hook 'views' changed the answer of the plugin before it[0].share; "
        "answer a copy from dataclasses.replace"
    )


def test_views_that_change_after_the_plan_leave_no_hole() -> None:
    class Wanders(Plugin):
        @hookimpl
        def views(self, stage: Stage, at: Step) -> Any:
            whole = group()
            if stage.model is not None and at.index == 1:
                return [replace(whole[0], views=(View(0, 0, 10, 19),))]
            return whole

    with pytest.raises(CanvasError, match="10 of 200 latent pixels have no view"):
        tiny_run([Wanders()])


def test_views_may_be_lists() -> None:
    assert tiny_run([answering("views", lambda: group(views=[WHOLE]), wrapper=False)]).shape == (1, 4, 10, 20)
