"""Every hook, and every kind of wrong answer to it: one line that names hook, plugin, what came, what is expected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fusionkit import (
    CanvasError,
    Fused,
    Fusion,
    FusionError,
    Masked,
    Patches,
    Plugin,
    PluginError,
    Prompt,
    RecipeError,
    Stage,
    StagePlan,
    Step,
    View,
    hookimpl,
)
from fusionkit.loop.hookspecs import Hookspecs
from fusionkit.testing import tiny_pipeline, tiny_run

SIZE = (160, 80)
WHOLE = View(0, 0, 10, 20)
GATHERS = ("check", "keeps_composition", "maps")
OBSERVES = ("step_done", "stage_done")


def generator(*values: Any) -> Generator[Any, None, None]:
    yield from values


def tensor(*shape: int, **options: Any) -> Tensor:
    return torch.zeros(*(shape or (1, 4, 10, 20)), **options)


def plan(**changes: Any) -> list[StagePlan]:
    return [StagePlan(**{"size": SIZE, **changes})]


def group(**changes: Any) -> list[Patches]:
    return [Patches(**{"views": (WHOLE,), **changes})]


NO_CANVAS: dict[str, Callable[[], Any]] = {
    "a list": lambda: [1],
    "a number": lambda: 3.5,
    "text": lambda: "noise",
    "numpy": lambda: np.zeros((1, 4, 10, 20), np.float32),
    "shape": lambda: tensor(4, 10, 20),
    "transposed": lambda: tensor(1, 4, 20, 10),
    "float16": lambda: tensor(dtype=torch.float16),
    "float64": lambda: tensor(dtype=torch.float64),
    "whole numbers": lambda: tensor(dtype=torch.int64),
    "another device": lambda: tensor(device="meta"),
    "sparse": lambda: tensor().to_sparse(),
    "a tuple of tensors": lambda: (tensor(), tensor()),
    "a generator": lambda: generator(tensor()),
}

# For each hook: what a plugin may answer by mistake.
WRONG: dict[str, dict[str, Callable[[], Any]]] = {
    "check": {
        "text": lambda: "no",
        "bytes": lambda: b"no",
        "a number": lambda: 3,
        "yes": lambda: True,
        "a mapping": lambda: {"no": 1},
        "numbers": lambda: [1, 2],
        "nothing in it": lambda: [None],
        "an empty line": lambda: ["  "],
        "a generator of numbers": lambda: generator(1),
        "a tensor": lambda: tensor(3),
    },
    "default_size": {
        "a number": lambda: 512,
        "text": lambda: "160x80",
        "one side": lambda: (160,),
        "parts": lambda: (160.0, 80.0),
        "0": lambda: (0, 80),
        "a tensor": lambda: torch.tensor([160, 80]),
        "a generator": lambda: generator(160, 80),
    },
    "plan_stages": {
        "a number": lambda: 3,
        "text": lambda: "one",
        "a plan alone": lambda: plan()[0],
        "no stages": list,
        "a generator": lambda: generator(*plan()),
        "a mapping": lambda: {0: plan()[0]},
        "sizes": lambda: [SIZE],
        "nothing in it": lambda: [None],
        "a size of text": lambda: plan(size="160x80"),
        "a frame of one": lambda: plan(frame=(160,)),
        "a frame beyond": lambda: plan(frame=(160, 88)),
        "a size of one": lambda: plan(size=(160,)),
        "a size of parts": lambda: plan(size=(160.0, 80.0)),
        "a size of 0": lambda: plan(size=(160, 0)),
        "a size below 0": lambda: plan(size=(-160, 80)),
        "no size": lambda: plan(size=None),
        "steps of text": lambda: plan(steps="3"),
        "steps of parts": lambda: plan(steps=3.0),
        "no steps": lambda: plan(steps=0),
        "steps below 0": lambda: plan(steps=-3),
        "steps yes": lambda: plan(steps=True),
        "a name of numbers": lambda: plan(name=3),
        "a picture of text": lambda: plan(picture="x.png"),
        "a picture's size of text": lambda: plan(picture=Path("x.png"), picture_size="all"),
        "a told size of text": lambda: plan(told="160x80"),
        "a told size of 0": lambda: plan(told=(160, 0)),
    },
    "keeps_composition": {
        "a number": lambda: 1,
        "text": lambda: "yes",
        "nothing": lambda: None,
        "a list": lambda: [True],
    },
    "views": {
        "a number": lambda: 3,
        "text": lambda: "all",
        "a group alone": lambda: group()[0],
        "no groups": list,
        "a generator": lambda: generator(*group()),
        "views": lambda: [WHOLE],
        "nothing in it": lambda: [None],
        "views of one": lambda: group(views=WHOLE),
        "views of None": lambda: group(views=None),
        "views of a generator": lambda: group(views=generator(WHOLE)),
        "views of tuples": lambda: group(views=((0, 0, 10, 20),)),
        "a view of parts": lambda: group(views=(View(0.0, 0, 10, 20),)),  # type: ignore[arg-type]
        "a view of text": lambda: group(views=(View("0", 0, 10, 20),)),  # type: ignore[arg-type]
        "a view of tensors": lambda: group(views=(View(*torch.tensor([0, 0, 10, 20])),)),
        "a view without height": lambda: group(views=(View(0, 0, 0, 20),)),
        "a view of negative width": lambda: group(views=(View(0, 0, 10, -20),)),
        "dilation 0": lambda: group(views=(View(0, 0, 10, 20, 0),)),
        "columns below 0 apart": lambda: group(views=(View(0, 0, 10, 20, across=-2),)),
        "a kind of numbers": lambda: group(kind=3),
        "a share of text": lambda: group(share="1"),
        "no share": lambda: group(share=None),
        "share NaN": lambda: group(share=float("nan")),
        "share infinite": lambda: group(share=float("inf")),
        "share below 0": lambda: group(share=-1.0),
        "a share that is a tensor": lambda: group(share=torch.tensor(1.0)),
        "weights of numbers": lambda: group(weights=1.0),
        "weights of numpy": lambda: group(weights=np.ones((10, 20))),
        "weights that do not fit": lambda: group(weights=torch.ones(3, 3)),
        "weights of whole numbers": lambda: group(weights=torch.ones(10, 20, dtype=torch.int64)),
        "weights NaN": lambda: group(weights=torch.full((10, 20), float("nan"))),
        "weights infinite": lambda: group(weights=torch.full((10, 20), float("inf"))),
        "noise that does not fit": lambda: group(noise=torch.ones(1, 4, 3, 3)),
        "noise NaN": lambda: group(noise=torch.full((1, 4, 10, 20), float("nan"))),
        "noise of another type": lambda: group(noise=tensor(dtype=torch.float16)),
    },
    "encode": {
        **NO_CANVAS,
        "a picture": lambda: Image.new("RGB", SIZE),
        "one of another size": lambda: tensor(1, 4, 5, 10),
    },
    "masked": {
        "a tensor": tensor,
        "a pair": lambda: (tensor(1, 1, 10, 20), tensor()),
        "a mask that does not fit": lambda: Masked(tensor(), tensor()),
        "a mask of another type": lambda: Masked(tensor(1, 1, 80, 160, dtype=torch.bool), tensor()),
        "a picture that does not fit": lambda: Masked(tensor(1, 1, 80, 160), tensor(1, 3, 80, 160)),
    },
    "init_noise": NO_CANVAS,
    "init_latents": NO_CANVAS,
    "prompt_per_patch": {
        "text": lambda: "a hill",
        "a number": lambda: 3,
        "too few": lambda: ["a hill"] * 2,
        "none": list,
        "too many": lambda: ["a hill"] * 7,
        "a generator": lambda: generator(*["a hill"] * 6),
        "numbers": lambda: [1] * 6,
        "nothing in it": lambda: [None] * 6,
        "a mapping": lambda: dict.fromkeys(range(6), "a hill"),
        "prompts of numbers": lambda: [Prompt(3)] * 6,  # type: ignore[arg-type]
        "negatives of numbers": lambda: [Prompt("a hill", 3)] * 6,  # type: ignore[arg-type]
        "bytes": lambda: [b"a hill"] * 6,
    },
    "noise_prediction": {**NO_CANVAS, "a canvas": tensor, "both halves": lambda: (tensor(6, 4, 8, 8),) * 2},
    "forward_passes": {
        "text": lambda: "12",
        "parts": lambda: 12.0,
        "below 0": lambda: -1,
        "yes": lambda: True,
        "a list": lambda: [12],
        "a tensor": lambda: torch.tensor(12),
        "a generator": lambda: generator(12),
    },
    "fuse": {
        "a tensor": tensor,
        "a pair": lambda: (tensor(), None),
        "text": lambda: "mean",
        "a generator": lambda: generator(Fused(tensor())),
        "a prediction of None": lambda: Fused(None),  # type: ignore[arg-type]
        "a prediction that does not fit": lambda: Fused(tensor(3)),
        "a prediction of float16": lambda: Fused(tensor(dtype=torch.float16)),
        "a prediction of numpy": lambda: Fused(np.zeros((1, 4, 10, 20), np.float32)),  # type: ignore[arg-type]
        "noise that does not fit": lambda: Fused(tensor(), tensor(2)),
        "noise of numbers": lambda: Fused(tensor(), 1.0),  # type: ignore[arg-type]
        "a clean estimate that does not fit": lambda: Fused(tensor(), None, tensor(2)),
    },
    "step": NO_CANVAS,
    "rounds": {
        "text": lambda: "2",
        "parts": lambda: 2.0,
        "none": lambda: 0,
        "yes": lambda: True,
        "a list": lambda: [2],
        "a tensor": lambda: torch.tensor(2),
        "a generator": lambda: generator(2),
    },
    "noised_back": NO_CANVAS,
    "step_done": {"a canvas": tensor, "no": lambda: False, "text": lambda: "done", "a generator": lambda: generator()},
    "stage_done": {"a canvas": tensor, "yes": lambda: True},
    "decode": {
        "latents": tensor,
        "numpy": lambda: np.zeros((80, 160, 3), np.uint8),
        "text": lambda: "a picture",
        "a list": lambda: [Image.new("RGB", SIZE)],
        "a class": lambda: Image.Image,
        "another size": lambda: Image.new("RGB", SIZE[::-1]),
        "latent pixels": lambda: Image.new("RGB", (20, 10)),
        "grey": lambda: Image.new("L", SIZE),
        "transparent": lambda: Image.new("RGBA", SIZE),
        "a generator": lambda: generator(Image.new("RGB", SIZE)),
    },
    "xmp": {
        "bytes": lambda: b"<x/>",
        "a number": lambda: 3,
        "a mapping": lambda: {"GPano": "x"},
        "control characters": lambda: "<x>\0</x>",
        "a generator": lambda: generator("<x/>"),
    },
    "exif": {
        "text": lambda: "Canon",
        "no EXIF": lambda: b"Canon",
        "a mapping": lambda: {271: "Canon"},
        "a generator": lambda: generator(b""),
    },
    "maps": {
        "a picture": lambda: Image.new("RGB", (8, 8)),
        "a list": lambda: [Image.new("RGB", (8, 8))],
        "text": lambda: "map",
        "numbers by name": lambda: {"map": 3},
        "numpy by name": lambda: {"map": np.zeros((8, 8, 3), np.uint8)},
        "None by name": lambda: {"map": None},
        "a name of numbers": lambda: {3: Image.new("RGB", (8, 8))},
        "a name that leads away": lambda: {"../map": Image.new("RGB", (8, 8))},
        "a name without letters": lambda: {"": Image.new("RGB", (8, 8))},
        "a name too long": lambda: {"m" * 300: Image.new("RGB", (8, 8))},
        "a picture of floats": lambda: {"map": Image.new("F", (8, 8))},
        "a picture without pixels": lambda: {"map": Image.new("RGB", (0, 8))},
        "a generator": lambda: generator("map"),
    },
}
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
